"""What a search costs beside its trainings, by the number of evaluations: the controller's own time and memory.

A function takes the place of the trainings; all else is a search's own: the loop, the log on disk, the front, the
bookkeeping of checkpoints, one job at a time. Of the four objectives one is exact, and each can be bought with every
other one (`lightning_primo.testing.problems.trade_off_problem`), so that fronts are large.

Times are milliseconds of the processor per evaluation over the last tenth before each size (at most 100 evaluations,
and 10 where there is a model), and over all up to it, divided among the parts by the clock; what it takes to wait for
the disk is printed apart. Of methods with a model it is said what their asks spend on its parts; primo and ms-ehvi
sample all but the evaluations that are timed. The memory is what the process has grown by, so that only the first
method's says much. In the end the last search's log is opened again, as a resumed search, a result and the command
line do.

Other work of the machine still shows in the figures: run it alone, and more than once.

    OMP_NUM_THREADS=1 python -m benchmarks.scale                                     # random, moasha, sh-emoa to 10,000
    OMP_NUM_THREADS=1 python -m benchmarks.scale --methods primo ms-ehvi --sizes 100 300 1000
    OMP_NUM_THREADS=1 python -m benchmarks.scale --methods moasha --profile
"""

from __future__ import annotations

import argparse
import contextlib
import cProfile
import gc
import importlib
import io
import math
import pstats
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from typing_extensions import override

from lightning_primo import Metric
from lightning_primo.algorithms import (
    MOASHA,
    MOBANANAS,
    MOBOHB,
    MSEHVI,
    SHEMOA,
    Algorithm,
    BulkAndCut,
    Hyperband,
    PriMO,
    RandomSearch,
)
from lightning_primo.cli.main import main as command_line
from lightning_primo.execution import InProcess
from lightning_primo.nas import Factory
from lightning_primo.search import read_result
from lightning_primo.search.budget import Budget
from lightning_primo.search.description import describe
from lightning_primo.search.interrupt import Interrupt
from lightning_primo.search.loop import Loop
from lightning_primo.store import Event, Store
from lightning_primo.testing.problems import Evaluate, evaluator, trade_off_problem, trade_off_values
from lightning_primo.training import Job
from lightning_primo.training.plan import TrainingPlan
from lightning_primo.trial import Proposal

METHODS: dict[str, Callable[[int], Algorithm]] = {
    "random": lambda n: RandomSearch(),
    "moasha": lambda n: MOASHA(),
    "sh-emoa": lambda n: SHEMOA(full_trainings=max(1, 3 * n // 7)),  # whose three stages make n evaluations
    "hyperband": lambda n: Hyperband(),
    "primo": lambda n: PriMO(initial_design=RandomSearch(), n_init=_before(n, "primo")),
    "ms-ehvi": lambda n: MSEHVI(n_init=max(2, _before(n, "ms-ehvi"))),
    "mo-bohb": lambda n: MOBOHB(),
    "mo-bananas": lambda n: MOBANANAS(),
    "bulk-and-cut": lambda n: BulkAndCut(full_trainings=n),
}
"""From the number of evaluations to the algorithm."""

PLAIN = ("random", "moasha", "sh-emoa", "hyperband")
SAMPLE_FIRST = ("primo", "ms-ehvi")  # until what is timed, so that each size is a search of its own
_PARTS = {
    "fit": ("gp:GaussianProcess.fit", "parzen:ParzenDensity.fit", "ensemble:NetworkEnsemble.fit"),
    "condition": ("gp:GaussianProcess.condition", "gp:GaussianProcess.draw"),
    "boxes": ("ehvi:_boxes",),
    "acquisition": (
        "gp:Draws.predict",
        "gp:GaussianProcess.predict",
        "ehvi:LogExpectedHypervolumeImprovement.__call__",
        "acquisition:log_expected_improvement",
        "parzen:ParzenDensity.log_density",
        "ensemble:NetworkEnsemble.predict",
    ),
    "candidates": ("candidates:mutate_local", "candidates:Encoding.sample"),
}
"""What an ask of a method with a model is made of. Time within one part counts for the outermost."""


class Stopwatch:
    """Adds up the seconds of calls by name; those of nested calls count for the outermost."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._running = False

    def time(self, owner: Any, attribute: str, name: str) -> None:
        """Time every call of `owner`'s function or method from now on."""
        original = vars(owner).get(attribute) or getattr(owner, attribute)
        is_class_method = isinstance(original, classmethod)
        function: Callable[..., Any] = original.__func__ if is_class_method else original
        self.seconds.setdefault(name, 0.0)

        def timed(*arguments: Any, **options: Any) -> Any:
            if self._running:
                return function(*arguments, **options)
            self._running, start = True, time.perf_counter()
            try:
                return function(*arguments, **options)
            finally:
                self._running = False
                self.seconds[name] += time.perf_counter() - start

        setattr(owner, attribute, classmethod(timed) if is_class_method else timed)

    def time_parts(self) -> None:
        """Time the parts of models."""
        for name, places in _PARTS.items():
            for place in places:
                module, _, path = place.partition(":")
                *owners, attribute = path.split(".")
                owner: Any = importlib.import_module(f"lightning_primo.surrogates.{module}")
                for part in owners:
                    owner = getattr(owner, part)
                self.time(owner, attribute, name)


class EnoughError(Exception):
    """As many evaluations are made as were wanted."""


class Instant(InProcess):
    """Knows the outcome of every training.

    Args:
        evaluate: The outcome.
        n_evaluations: After so many it raises `EnoughError`.
        report: Is called with their number before each, and at the end.
    """

    def __init__(self, evaluate: Evaluate, n_evaluations: int, report: Callable[[int], None]) -> None:
        super().__init__()
        self._evaluate, self._n_evaluations, self._report = evaluate, n_evaluations, report
        self._n_made = 0
        self.seconds = 0.0

    @override
    def submit(self, fn: Callable[..., Any], /, *arguments: Any, **options: Any) -> Future[Any]:
        self._report(self._n_made)
        if self._n_made == self._n_evaluations:
            raise EnoughError
        start = time.perf_counter()
        self._n_made += 1
        job, future = next(argument for argument in arguments if isinstance(argument, Job)), Future[Any]()
        proposal = Proposal(
            trial_id=job.trial_id, config=job.config, epoch=job.epoch, start_epoch=job.start_epoch, final=job.final
        )
        future.set_result(self._evaluate(proposal))
        self.seconds += time.perf_counter() - start
        return future


@dataclass(frozen=True)
class Reading:
    """Where a search stood: its seconds of the processor, by the clock and by part, and its memory in MiB."""

    processor: float
    clock: float
    parts: dict[str, float]
    memory: float


class Driven:
    """A search in which nothing is trained.

    Args:
        algorithm: Any.
        directory: Where its log goes.
    """

    def __init__(self, algorithm: Algorithm, directory: Path) -> None:
        self.algorithm, self.directory = algorithm, directory
        self.problem = trade_off_problem()
        self.algorithm.start(self.problem)
        self.callbacks = tuple(Metric(objective.name) for objective in self.problem.objectives)
        for callback, objective in zip(self.callbacks, self.problem.objectives, strict=True):
            callback.objective = objective
        self.description = describe(
            self.problem, objectives=self.callbacks, constraints=(), algorithm=self.algorithm, seed=0
        )

    def loop(self, store: Store, executor: Instant, events: Sequence[Event] = ()) -> Loop:
        """The loop of a search after these events."""
        plan = TrainingPlan(
            factory=Factory(lambda config: None),
            objectives=self.callbacks,
            constraints=(),
            problem=self.problem,
            trainer={},
            directory=self.directory,
            seed=0,
        )
        budget = Budget(epochs=math.inf, max_epochs=self.problem.max_epochs)
        options: dict[str, Any] = {"workers": 1, "events": events, "show": False, "keep_all": False}
        return Loop(self.algorithm, plan, store, budget, executor, interrupt=Interrupt(), **options)

    def run(
        self, sizes: Sequence[int], watches: Sequence[Stopwatch], *, profiler: AbstractContextManager[Any]
    ) -> list[Reading]:
        """Search up to the largest of the sizes; a reading at each."""
        readings: dict[int, Reading] = {}

        def report(n_made: int) -> None:
            if n_made in sizes:
                parts = {"outcomes": executor.seconds}
                for watch in watches:
                    parts.update(watch.seconds)
                readings[n_made] = Reading(time.process_time(), time.perf_counter(), parts, resident())

        with Store(self.directory, self.description) as store:
            store._connection.execute("PRAGMA synchronous = OFF")
            for attribute in ("ask", "tell"):
                watches[0].time(self.algorithm, attribute, attribute)
                watches[0].time(store, attribute, "store")
            executor = Instant(evaluator(self.problem, trade_off_values), max(sizes), report)
            loop = self.loop(store, executor)
            with contextlib.suppress(EnoughError), profiler:
                loop.run()
        return [readings[size] for size in sizes]

    def reopened(self) -> dict[str, float]:
        """Seconds of the processor that it takes to read the log, to resume the search, and to look at its result."""
        seconds: dict[str, float] = {}

        def take(name: str, action: Callable[[], Any]) -> Any:
            start = time.process_time()
            taken = action()
            seconds[name] = time.process_time() - start
            return taken

        with Store(self.directory, self.description) as store:
            events = take("read the log", store.events)
            self.algorithm.start(self.problem)
            take("restore the algorithm", lambda: self.algorithm.restore(event for event, _ in events))
            executor = Instant(evaluator(self.problem, trade_off_values), 0, lambda n_made: None)
            take("make the loop", lambda: self.loop(store, executor, events))
        result = take("read_result", lambda: read_result(self.directory))
        take("to_pandas", result.to_pandas)
        take("hypervolume", result.hypervolume)
        take("hypervolume_over_cost", result.hypervolume_over_cost)
        for command in ("status", "front"):
            with contextlib.redirect_stdout(io.StringIO()):
                take(f"lightning-primo {command}", lambda: command_line([command, str(self.directory)]))  # noqa: B023
        return seconds


def resident() -> float:
    """Resident memory of this process in MiB."""
    return float(psutil.Process().memory_info().rss) / 2**20


def durable_milliseconds(directory: Path, n_events: int = 100) -> float:
    """What an event on the disk takes longer than one that does not wait for it."""
    driven = Driven(RandomSearch(), directory)
    taken = []
    with Store(directory, driven.description) as store:
        for mode in ("FULL", "OFF"):
            store._connection.execute(f"PRAGMA synchronous = {mode}")
            start = time.perf_counter()
            for _ in range(n_events):
                proposal = driven.algorithm.ask()
                if proposal is not None:
                    store.ask(proposal, elapsed=0.0)
            taken.append(time.perf_counter() - start)
    return 1e3 * (taken[0] - taken[1]) / n_events


def show(name: str, sizes: Sequence[int], readings: Sequence[Reading]) -> None:
    """Print the rows of a method; `readings` are those at 0, and at nine tenths and the whole of each size."""
    first, *pairs = readings
    for size, before, now in zip(sizes, pairs[::2], pairs[1::2], strict=True):
        parts = _milliseconds(before, now, size - _before(size, name))
        rest = parts["total"] - parts["ask"] - parts["tell"] - parts["store"]
        average = _milliseconds(first, now, size)["total"]
        columns = [parts["ask"], parts["tell"], parts["store"], rest, parts["total"], average]
        model = ", ".join(f"{part} {parts[part]:.4g}" for part in _PARTS if parts.get(part, 0.0) >= 0.1)
        figures = "".join(f"{column:10.2f}" for column in columns) + f"{now.memory - first.memory:10.1f}"
        print(f"{name:13s}{size:8,d}{figures}   {model}", flush=True)


def _milliseconds(before: Reading, now: Reading, n_evaluations: int) -> dict[str, float]:
    """Of the processor, per evaluation, by part and in total, without the outcomes."""
    clock = now.clock - before.clock
    each = 1e3 * (now.processor - before.processor) / n_evaluations / clock
    parts = {part: each * (seconds - before.parts.get(part, 0.0)) for part, seconds in now.parts.items()}
    return {**parts, "total": each * clock - parts["outcomes"]}


def _before(size: int, name: str) -> int:
    """The evaluations before those that are timed."""
    return size - max(1, min(size // 10, 100 if name in PLAIN else 10))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--methods", nargs="+", choices=METHODS, default=list(PLAIN[:3]), metavar="NAME", help=", ".join(METHODS)
    )
    parser.add_argument(
        "--sizes", nargs="+", type=int, default=[100, 1_000, 10_000], metavar="N", help="(default: %(default)s)"
    )
    parser.add_argument("--profile", action="store_true", help="print where the time goes")
    arguments = parser.parse_args()
    sizes = sorted(set(arguments.sizes))
    columns = ("ask", "tell", "store", "rest", "total", "average", "MiB")
    print(
        f"{'ms/evaluation':13s}{'size':>8s}" + "".join(f"{column:>10s}" for column in columns) + "   in asks",
        flush=True,
    )
    calls, parts = Stopwatch(), Stopwatch()
    parts.time_parts()
    with tempfile.TemporaryDirectory() as folder:
        for name in arguments.methods:
            for together in [[size] for size in sizes] if name in SAMPLE_FIRST else [sizes]:
                driven = Driven(METHODS[name](together[-1]), Path(folder) / f"{name}_{together[-1]}")
                profiler = cProfile.Profile() if arguments.profile else None
                points = [0, *(point for size in together for point in (_before(size, name), size))]
                gc.collect()
                show(name, together, driven.run(points, (calls, parts), profiler=profiler or contextlib.nullcontext()))
                if profiler:
                    pstats.Stats(profiler).sort_stats("tottime").print_stats(30)
        print(f"\nan event that waits for the disk takes {durable_milliseconds(Path(folder) / 'disk'):.2f} ms more")
        print(f"seconds to open {name} at {sizes[-1]:,d} evaluations again:")
        for what, seconds in driven.reopened().items():
            print(f"  {what:24s}{seconds:8.3f}")


if __name__ == "__main__":
    main()
