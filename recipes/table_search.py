"""Searches on a table, many at a time: run, compared with the true front, reported and drawn."""

from __future__ import annotations

import multiprocessing
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lightning_primo import Algorithm, Result
from lightning_primo.nas import Factory
from lightning_primo.pareto import hypervolume_over_time, non_dominated
from lightning_primo.testing.problems import drive
from models.nas_bench_201 import NASBench201Classifier
from recipes.tables import NASBench201Table, TableProblem

Array = npt.NDArray[np.float64]

_REPORT_EVERY = 10.0  # seconds
_EPSILON = 1e-9  # of budgets and shares, which are sums of rounded numbers


@dataclass(frozen=True, kw_only=True)
class Task:
    """One search, such that another process can carry it out.

    Args:
        table: The file.
        objectives: Their names.
        name: Of the algorithm, for reports.
        algorithm: Makes the algorithm; a function or `functools.partial` of one that pickle can name.
        seed: Of the search.
        full_trainings: Its budget, in trainings of 200 epochs.
        target: Share of the true front's hypervolume at which to stop; None: never.
        quiet: Report nothing underway.
    """

    table: Path
    objectives: tuple[str, ...]
    name: str
    algorithm: Callable[[], Algorithm]
    seed: int
    full_trainings: float
    target: float | None = None
    quiet: bool = False


@dataclass(frozen=True, kw_only=True)
class Found:
    """What a search found: its evaluations at the full budget, in order.

    Args:
        name: Of the algorithm.
        seed: Of the search.
        losses: `n x m`.
        costs: Full trainings spent by each, `n`.
        shares: Of the true front's hypervolume that was reached with each, `n`.
        n_true: Cells of the true front among those found.
        seconds: That the search took.
    """

    name: str
    seed: int
    losses: Array
    costs: Array
    shares: Array
    n_true: int
    seconds: float

    @property
    def share(self) -> float:
        """Of the true front's hypervolume, at the end."""
        return float(self.shares[-1]) if len(self.shares) else 0.0

    @property
    def front(self) -> Array:
        """The non-dominated ones among `losses`."""
        return self.losses[non_dominated(self.losses)]

    def full_trainings_to(self, share: float) -> float:
        """Full trainings spent until that share of the true front's hypervolume was reached; infinite if it was not."""
        reached = np.flatnonzero(self.shares >= share - _EPSILON)
        return float(self.costs[reached[0]]) if len(reached) else float("inf")


def carry_out(task: Task) -> Found:
    """Search until the budget is spent, the target reached or the space exhausted.

    Evaluations that end beyond the budget do not count.
    """
    problem = table_problem(task.table, task.objectives)
    full = problem.problem.max_epochs
    algorithm = task.algorithm()
    begin = reported = time.perf_counter()
    algorithm.start(problem.problem, seed=task.seed)
    losses: list[tuple[float, ...]] = []
    costs: list[float] = []
    rows: set[int] = set()
    spent, share = 0.0, 0.0
    while algorithm.epochs_committed < task.full_trainings * full:
        proposal = algorithm.ask()
        if proposal is None:
            break
        evaluation = problem.evaluate(proposal)
        algorithm.tell(evaluation)
        spent += evaluation.cost / full
        if evaluation.counts_at(full) and spent <= task.full_trainings + _EPSILON:
            losses.append(evaluation.losses)
            costs.append(spent)
            rows.add(problem.table.row(proposal.config))
            share = problem.hypervolume_of(losses) / problem.hypervolume
        if task.target is not None and share >= task.target - _EPSILON:
            break
        if not task.quiet and time.perf_counter() - reported > _REPORT_EVERY:
            reported = time.perf_counter()
            say(f"{task.name}, seed {task.seed}: {spent:.1f} of {task.full_trainings:g} full trainings, {share:.2%}")
    points = np.array(losses, dtype=np.float64).reshape(-1, len(task.objectives))
    return Found(
        name=task.name,
        seed=task.seed,
        losses=points,
        costs=np.array(costs, dtype=np.float64),
        shares=hypervolume_over_time(problem.problem.scaled(points), problem.reference) / problem.hypervolume,
        n_true=len(rows.intersection(problem.front.tolist())),
        seconds=time.perf_counter() - begin,
    )


def look_up(problem: TableProblem, algorithm: Algorithm, *, seed: int, full_trainings: float) -> Result:
    """One search with its whole budget, as a result that can be compared; there are no networks to load from it.

    Args:
        problem: What is searched.
        algorithm: With what.
        seed: Of the search.
        full_trainings: Its budget, in trainings of 200 epochs.
    """
    algorithm.start(problem.problem, seed=seed)
    events = drive(algorithm, problem.evaluate, epochs=full_trainings * problem.problem.max_epochs)
    return Result(
        problem.problem, [(event, 0.0) for event in events], directory=Path(), build=Factory(NASBench201Classifier)
    )


def carry_out_all(tasks: Sequence[Task], *, workers: int) -> Iterator[Found]:
    """The results of `tasks`, in their order, as they come.

    Args:
        tasks: What to do.
        workers: Processes, each with one thread; with 1 it is done in this one.
    """
    if workers <= 1:
        yield from map(carry_out, tasks)
        return
    # Spawned, as PyTorch's threads do not survive a fork.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        yield from pool.map(carry_out, tasks)


@cache
def table_problem(table: Path, objectives: tuple[str, ...]) -> TableProblem:
    """The problem on a table; read once per process."""
    return TableProblem(NASBench201Table.load(table), objectives)


def say(text: str) -> None:
    """Report what goes on."""
    print(text, file=sys.stderr, flush=True)


def summary(found: Sequence[Found], problem: TableProblem) -> str:
    """What the searches of one algorithm reached: a line."""
    shares = np.array([one.share for one in found])
    cells = np.array([one.n_true for one in found])
    seconds = np.median([one.seconds for one in found])
    return (
        f"{found[0].name:22s} hypervolume {np.median(shares) * problem.hypervolume:.4f}, "
        f"{np.median(shares):.2%} of the true front's ({shares.min():.2%} .. {shares.max():.2%}), "
        f"{np.median(cells):g} of its {len(problem.front)} cells, {seconds:.1f} s"
    )


def target_summary(found: Sequence[Found], target: float) -> str:
    """What the searches of one algorithm needed to reach a share of the true front's hypervolume: a line."""
    needed = np.array([one.full_trainings_to(target) for one in found])
    reached = needed[np.isfinite(needed)]
    # The middle of an even number of searches, of which one has not reached the target, is not reached either.
    median = float(np.quantile(needed, 0.5, method="higher" if len(reached) < len(needed) else "linear"))
    text = f"{median:.1f} full trainings" if np.isfinite(median) else "not reached"
    spread = f" ({reached.min():.1f} .. {reached.max():.1f})" if len(reached) else ""
    seconds = np.median([one.seconds for one in found])
    return f"{found[0].name:22s} {text}{spread}, {len(reached)} of {len(needed)} seeds, {seconds:.1f} s"


def draw_fronts(found: Sequence[Found], problem: TableProblem, path: Path) -> None:
    """Draw the fronts of one algorithm's searches against the true one, the first objective over each other one."""
    objectives = problem.problem.objectives
    n = len(objectives) - 1
    figure = Figure(figsize=(1.0 + 5.0 * n, 4.4), layout="constrained")
    for column, axes in enumerate(figure.subplots(1, n, squeeze=False)[0], start=1):
        # With more than two objectives members of the front lie behind others in the plane: no line joins them.
        joined = n == 1
        true = problem.losses[problem.front]
        _draw_front(axes, true, column, f"true front ({len(true)})", joined=joined, color="#c1392b", ms=10)
        for i, one in enumerate(found):
            label = None if i else f"found (seeds: {len(found)})"
            _draw_front(axes, one.front, column, label, joined=joined, color="#6f8196", ms=6)
        axes.set_xlabel(f"{objectives[column].name} (lower is better)")
        axes.set_ylabel(f"{objectives[0].name} (lower is better)")
        for scale, objective in ((axes.set_xscale, objectives[column]), (axes.set_yscale, objectives[0])):
            if objective.log:
                scale("log")
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(color="#e6e9ed", lw=0.8)
        axes.legend(edgecolor="none")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)


def _draw_front(
    axes: Axes, front: Array, column: int, label: str | None, *, joined: bool, color: str, ms: float
) -> None:
    front = front[np.argsort(front[:, column], kind="stable")]
    axes.plot(
        front[:, column],
        front[:, 0],
        drawstyle="steps-post",
        lw=1.2 if joined else 0.0,
        marker=".",
        ms=ms,
        color=color,
        alpha=0.8,
        label=label,
    )
