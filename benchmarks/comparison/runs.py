"""Searches, one after the other or several at a time, and the file that keeps what they found."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import torch

from benchmarks.comparison.optimisers import make_algorithm
from benchmarks.comparison.problems import problem_named
from lightning_primo.problem.trial import Evaluation, Proposal
from lightning_primo.testing.problems import drive, evaluator
from lightning_primo.workers import Workers

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True, order=True)
class Job:
    """One search to do.

    Args:
        problem: Of `PROBLEMS`.
        priors: Of `CONDITIONS`.
        optimiser: Of `OPTIMISERS`.
        seed: Of the search.
    """

    problem: str
    priors: str
    optimiser: str
    seed: int

    def __str__(self) -> str:
        return f"{self.optimiser} on {self.problem}, priors {self.priors}, seed {self.seed}"


@dataclass(frozen=True)
class Run:
    """What a search found.

    Args:
        job: Which.
        full_trainings: Its budget.
        seconds_per_ask: Mean seconds that an ask took, together with the tell that followed.
        spent: For each success at the full budget the full trainings that were spent when it came, all within the
            budget.
        losses: Its scaled losses.
    """

    job: Job
    full_trainings: int
    seconds_per_ask: float
    spent: tuple[float, ...]
    losses: tuple[tuple[float, ...], ...]

    def within(self, full_trainings: int) -> Run:
        """What it found with a smaller budget, which no optimiser here plans with."""
        n = sum(at <= full_trainings for at in self.spent)
        return replace(self, full_trainings=full_trainings, spent=self.spent[:n], losses=self.losses[:n])


class RunsFile:
    """A file with a run per line, which grows as runs end.

    Of several runs of the same job that with the largest budget counts. A line that was cut off is written over.

    Args:
        path: The file; is made with its folder where there is none.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.runs: dict[Job, Run] = {}
        path.parent.mkdir(parents=True, exist_ok=True)
        text = path.read_bytes() if path.exists() else b""
        self._end = text.rfind(b"\n") + 1
        for line in text[: self._end].splitlines():
            self._take(_read(json.loads(line)))

    def missing(self, jobs: Iterable[Job], full_trainings: int) -> list[Job]:
        """Those that have not run with such a budget."""
        return [job for job in jobs if job not in self.runs or self.runs[job].full_trainings < full_trainings]

    def add(self, run: Run) -> None:
        """Keep a run, its numbers with seven digits."""
        run = replace(
            run,
            seconds_per_ask=_rounded(run.seconds_per_ask),
            spent=tuple(map(_rounded, run.spent)),
            losses=tuple(tuple(map(_rounded, losses)) for losses in run.losses),
        )
        line = json.dumps(asdict(run), separators=(",", ":")).encode() + b"\n"
        with self.path.open("r+b" if self.path.exists() else "wb") as file:
            file.truncate(self._end)
            file.seek(self._end)
            file.write(line)
        self._end += len(line)
        self._take(run)

    def _take(self, run: Run) -> None:
        known = self.runs.get(run.job)
        if known is None or known.full_trainings <= run.full_trainings:
            self.runs[run.job] = run


def search(job: Job, data_dir: Path, full_trainings: int) -> Run:
    """Search a problem, with one thread.

    Args:
        job: What to search, and with what.
        data_dir: Of `problem_named`.
        full_trainings: The budget.
    """
    searched = problem_named(job.problem, data_dir)
    problem = searched.problem
    evaluate = evaluator(problem, searched.values)
    training = 0.0

    def trained(proposal: Proposal) -> Evaluation:
        nonlocal training
        start = time.perf_counter()
        evaluation = evaluate(proposal)
        training += time.perf_counter() - start
        return evaluation

    algorithm = make_algorithm(job.optimiser, searched.priors(job.priors), searched.eta)
    with _one_thread():
        algorithm.start(problem, seed=job.seed)
        start = time.perf_counter()
        events = drive(algorithm, trained, epochs=full_trainings * problem.max_epochs)
        seconds = time.perf_counter() - start - training
    epochs, found = 0.0, []
    for event in events:
        if isinstance(event, Evaluation):
            epochs += event.cost
            spent = epochs / problem.max_epochs
            if problem.counts(event) and spent <= full_trainings:
                found.append((spent, event.losses))
    losses = problem.scaled_losses([row for _, row in found])
    return Run(
        job=job,
        full_trainings=full_trainings,
        seconds_per_ask=seconds / max(1, algorithm.n_asked),
        spent=tuple(at for at, _ in found),
        losses=tuple(map(tuple, losses.tolist())),
    )


def outcomes(workers: Workers, function: Callable[[T], R], arguments: Iterable[T]) -> Iterator[tuple[T, R | Exception]]:
    """What a function gives for each argument, or raises, as it comes; few at a time are under way.

    Args:
        workers: Where they run.
        function: Is called with one argument.
        arguments: In the order in which they are begun.
    """
    under_way: dict[Future[R], T] = {}
    for argument in arguments:
        under_way[workers.submit(function, argument)] = argument
        while len(under_way) >= workers.size:
            yield from _ended(under_way)
    while under_way:
        yield from _ended(under_way)


def _ended(under_way: dict[Future[R], T]) -> Iterator[tuple[T, R | Exception]]:
    done, _ = wait(under_way, return_when=FIRST_COMPLETED)
    for future in done:
        error = future.exception()
        if error is not None and not isinstance(error, Exception):
            raise error
        yield under_way.pop(future), future.result() if error is None else error


@contextmanager
def _one_thread() -> Iterator[None]:
    """Small models are fastest with one thread, and only then do searches side by side not slow each other down."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _rounded(number: float) -> float:
    return float(f"{number:.7g}")


def _read(record: dict[str, Any]) -> Run:
    tuples = {"spent": tuple(record["spent"]), "losses": tuple(map(tuple, record["losses"]))}
    return Run(**{**record, "job": Job(**record["job"]), **tuples})
