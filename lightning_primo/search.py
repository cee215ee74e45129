"""The search: ask the algorithm, train what it proposes, store what came of it, tell the algorithm; again."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from pathlib import Path
from typing import Any

import numpy as np
from ConfigSpace import CategoricalHyperparameter, ConfigurationSpace, Constant, OrdinalHyperparameter

from lightning_primo.algorithms import Algorithm, PriMO
from lightning_primo.budget import Budget
from lightning_primo.callbacks import CostCallback, ObjectiveCallback
from lightning_primo.errors import InvalidArgumentError, TrialFailedError
from lightning_primo.execution import InProcess, LocalProcesses
from lightning_primo.nas import Factory
from lightning_primo.objective import Kind
from lightning_primo.problem import Problem, check_epochs
from lightning_primo.progress import FrontTracker, Progress, make_progress
from lightning_primo.result import Result
from lightning_primo.space import check_space
from lightning_primo.store import Event, Store
from lightning_primo.training import ExactCosts, Job, check_trainer_arguments, preflight, run_job
from lightning_primo.trial import Evaluation, Proposal, Status

_SAME_FAILURES = 3  # first trials that fail alike are the user's bug, not the configurations'


class Search:
    """A multi-objective search over architectures and hyperparameters.

    Args:
        space: The search space, conditions and forbidden clauses included.
        module: How to build the LightningModule of a configuration: a callable ``config -> LightningModule``, or a
            LightningModule class, which gets the keys that its constructor accepts.
        objectives: What is optimised: `Metric`, `ParameterCount`, `FLOPs`, `Latency`, `PeakMemory`, `TrainingTime`.
        epochs: The fidelity: (shortest, full) training.
        directory: Where the log, checkpoints and pictures go. The same call with the same directory goes on with the
            search that it holds.
        datamodule: A LightningDataModule for all, a callable ``config -> LightningDataModule``, a LightningDataModule
            class, plain DataLoaders, or None where the module has its own.
        constraints: Costs that only bound the search, for example ``FLOPs(at_most=1e7)``.
        algorithm: Default `PriMO()`.
        trainer: Arguments of the Lightning Trainer.
        workers: Trainings at a time; more than one run in local processes.
        executor: Any `concurrent.futures.Executor` to train with instead, `workers` at a time.
        seed: All randomness follows from it.

    Raises:
        InvalidArgumentError: For any argument that cannot work, before anything is trained.
    """

    def __init__(
        self,
        space: ConfigurationSpace,
        *,
        module: Any,
        objectives: Sequence[ObjectiveCallback],
        epochs: tuple[int, int],
        directory: str | Path,
        datamodule: Any = None,
        constraints: Sequence[CostCallback] = (),
        algorithm: Algorithm | None = None,
        trainer: Mapping[str, Any] | None = None,
        workers: int = 1,
        executor: Executor | None = None,
        seed: int = 0,
    ) -> None:
        check_space(space)
        _check_choices(space)
        _check_objectives(objectives, constraints)
        _check_pair(epochs)
        if not isinstance(workers, int) or isinstance(workers, bool) or workers < 1:
            raise InvalidArgumentError(f"'workers' must be a whole number of at least 1, got {workers!r}")
        if not isinstance(seed, int) or isinstance(seed, bool) or seed < 0:
            raise InvalidArgumentError(f"'seed' must be a whole number of at least 0, got {seed!r}")
        self.trainer = dict(trainer or {})
        check_trainer_arguments(self.trainer)
        self.factory = Factory(module, datamodule)
        self.factory.check(list(space.keys()))
        self.objectives = tuple(objectives)
        self.constraints = tuple(constraints)
        self.directory = Path(directory)
        self.workers = workers
        self.executor = executor
        self.seed = seed
        self.problem = Problem(
            space=space,
            objectives=tuple(callback.objective for callback in self.objectives),
            constraints=tuple(callback.objective for callback in self.constraints),
            min_epochs=epochs[0],
            max_epochs=epochs[1],
            exact=ExactCosts(self.factory, self._exact_callbacks()),
        )
        self.algorithm = algorithm or PriMO()
        self.algorithm.start(self.problem, seed=seed)

    def run(
        self,
        *,
        full_trainings: float | None = None,
        epochs: float | None = None,
        hours: float | None = None,
        trials: int | None = None,
        progress: bool = True,
    ) -> Result:
        """Search until the budget is used up, counting what earlier runs in the same directory have spent.

        Ctrl-C ends it cleanly; so does kill -9: call again to go on where it stopped.

        Args:
            full_trainings: Budget in trainings of the full number of epochs.
            epochs: Budget in epochs.
            hours: Budget in hours of wall-clock time.
            trials: Budget in configurations.
            progress: Whether to show what is going on.

        Returns:
            What was found so far, also after Ctrl-C.

        Raises:
            MetricNotLoggedError: The module does not log one of the objectives.
            TrialFailedError: The first trials all failed with the same exception.
            StoreError: The directory is in use, damaged, or of another search.
        """
        budget = Budget(
            full_trainings=full_trainings, epochs=epochs, hours=hours, trials=trials, max_epochs=self.problem.max_epochs
        )
        with Store(self.directory, self._description()) as store:
            events = store.events()
            if not any(isinstance(event, Evaluation) for event, _ in events):
                preflight(self._job(self._first_proposal(), self.directory / "preflight"))
            self.algorithm.start(self.problem, seed=self.seed)
            self.algorithm.restore(event for event, _ in events)
            with make_progress(progress, problem=self.problem) as display, self._executor() as executor:
                loop = _Loop(self, store, budget, display, executor, events)
                loop.run()
            return self._result(store.events())

    def result(self) -> Result:
        """What was found so far, without searching; also while another process searches."""
        from lightning_primo.store import read_events

        return self._result(read_events(self.directory))
