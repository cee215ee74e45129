"""A search in which a function takes the place of the trainings, and all else is a search's own."""

from __future__ import annotations

import contextlib
import io
import math
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from typing_extensions import override

from benchmarks.stopwatch import Stopwatch
from lightning_primo import Metric
from lightning_primo.algorithms import Algorithm
from lightning_primo.cli.main import main as command_line
from lightning_primo.factory import Factory
from lightning_primo.problem.trial import Proposal
from lightning_primo.search import read_result
from lightning_primo.search.budget import Budget
from lightning_primo.search.description import describe
from lightning_primo.search.ending import Ending
from lightning_primo.search.interrupt import Interrupt
from lightning_primo.search.loop import Loop
from lightning_primo.store import Event, Store
from lightning_primo.testing.problems import Evaluate, evaluator, trade_off_problem, trade_off_values
from lightning_primo.training import Job
from lightning_primo.training.plan import TrainingPlan
from lightning_primo.workers import InProcess


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
    def submit(self, function: Callable[..., Any], /, *arguments: Any, seconds: float | None = None) -> Future[Any]:
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
            directory=self.directory,
            seed=0,
        )
        budget = Budget(epochs=math.inf, fidelity=self.problem.fidelity)
        options: dict[str, Any] = {"events": events, "show": False, "keep_all": False}
        ending = Ending(budget, (), self.problem, plan.devices)
        return Loop(self.algorithm, plan, store, ending, executor, interrupt=Interrupt(), **options)

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
