"""The search as a user sees it: what is searched, how it is trained, and `run`."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ConfigSpace import ConfigurationSpace

from lightning_primo.algorithms import Algorithm, PriMO
from lightning_primo.callbacks import CostCallback, ObjectiveCallback
from lightning_primo.checks import check_whole
from lightning_primo.errors import CorruptStoreError, InvalidArgumentError
from lightning_primo.execution import InProcess, LocalProcesses
from lightning_primo.nas import Factory
from lightning_primo.objective import Kind
from lightning_primo.problem import Problem
from lightning_primo.results import Result
from lightning_primo.search.budget import Budget
from lightning_primo.search.checks import (
    check_algorithm,
    check_choices,
    check_directory,
    check_executor,
    check_mapping,
    check_objectives,
    check_pair,
)
from lightning_primo.search.description import describe
from lightning_primo.search.interrupt import Interrupt
from lightning_primo.search.loop import Loop
from lightning_primo.space import check_space
from lightning_primo.store.log import FILE_NAME, Event, Store, read_events
from lightning_primo.training import Architectures, ExactCosts, check_trainer_arguments, preflight
from lightning_primo.training.plan import TrainingPlan
from lightning_primo.trial import Evaluation, Proposal


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
        trainer: Arguments of the Lightning Trainer. Callbacks are copied for each trial; CSV and TensorBoard loggers
            write into the trial's directory, for others give ``logger`` as a function ``directory -> Logger``.
        workers: Trainings at a time; more than one run in local processes.
        executor: Any `concurrent.futures.Executor` to train with instead, `workers` at a time. It stays open, and on
            Ctrl-C finishes what it runs.
        seed: All randomness follows from it.
        keep_all_checkpoints: Whether to keep the weights of every trial. By default those of the front are kept, and
            of trials that may still be continued or inherited from (with `BulkAndCut` those of every full training).

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
        keep_all_checkpoints: bool = False,
    ) -> None:
        check_space(space)
        check_choices(space)
        check_objectives("objectives", objectives, ObjectiveCallback)
        check_objectives("constraints", constraints, CostCallback)
        min_epochs, max_epochs = check_pair(epochs)
        check_whole("workers", workers, least=1)
        check_whole("seed", seed, least=0)
        check_algorithm(algorithm)
        check_executor(executor)
        self.trainer = check_mapping("trainer", trainer)
        check_trainer_arguments(self.trainer)
        self.factory = Factory(module, datamodule)
        self.factory.check(list(space.keys()))
        self.objectives = tuple(objectives)
        self.constraints = tuple(constraints)
        self.directory = check_directory(directory)
        self.workers = workers
        self.executor = executor
        self.seed = seed
        self.keep_all_checkpoints = keep_all_checkpoints
        costs = [callback for callback in (*self.objectives, *self.constraints) if isinstance(callback, CostCallback)]
        self.problem = Problem(
            space=space,
            objectives=tuple(callback.objective for callback in self.objectives),
            constraints=tuple(callback.objective for callback in self.constraints),
            min_epochs=min_epochs,
            max_epochs=max_epochs,
            exact=ExactCosts(self.factory, [cost for cost in costs if cost.objective.kind is Kind.EXACT]),
            architecture=Architectures(self.factory),
        )
        self.algorithm = algorithm or PriMO()
        self.algorithm.start(self.problem, seed=seed)
        self._description = describe(
            self.problem,
            objectives=self.objectives,
            constraints=self.constraints,
            algorithm=self.algorithm,
            seed=seed,
        )

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

        Ctrl-C ends the search cleanly, and after any other end, kill -9 included, the same call goes on where it
        stopped. A training that was started is finished, so up to one training per worker more may be spent.

        Args:
            full_trainings: Budget in trainings of the full number of epochs.
            epochs: Budget in epochs.
            hours: Budget in hours of wall-clock time during which the search ran.
            trials: Budget in configurations started, those rejected before training not counted. The search ends with
                the last one's first training: with algorithms that promote, other budgets say more.
            progress: Whether to show what is going on, on standard error.

        Returns:
            What was found so far, also after Ctrl-C.

        Raises:
            InvalidArgumentError: For a budget that is none.
            MetricNotLoggedError: The module does not log one of the objectives.
            TrialFailedError: The first trials, or many in a row, failed in the same way or broke the bounds.
            ExecutorError: The executor that was given takes no more jobs.
            StoreError: The directory is in use, damaged, not writable, or holds another search.
        """
        budget = Budget(
            full_trainings=full_trainings, epochs=epochs, hours=hours, trials=trials, max_epochs=self.problem.max_epochs
        )
        if budget.total_epochs < self.algorithm.planned_epochs:
            print(
                f"{type(self.algorithm).__name__} plans with {self.algorithm.planned_epochs:g} epochs in all, and this "
                f"run ends at {budget.total_epochs:g}: few trials or none may be fully trained by then",
                file=sys.stderr,
            )
        with Store(self.directory, self._description) as store:
            try:
                self._search(store, budget, show=progress)
            except KeyboardInterrupt:
                result = self._result(store.events())
                print(
                    f"stopped by Ctrl-C after {len(result.trials)} trials and {result.epochs:.10g} epochs; all that "
                    f"was told is kept in {str(self.directory)!r}, and the same call goes on from there",
                    file=sys.stderr,
                )
                return result
            return self._result(store.events())

    def result(self) -> Result:
        """What was found so far, without searching; also while another process searches.

        Raises:
            StoreError: There is no search in the directory yet, or another one, or its file is damaged.
        """
        return self._result(read_events(self.directory, self._description))

    def _search(self, store: Store, budget: Budget, *, show: bool) -> None:
        events = store.events()
        self._restore(events)
        plan = self._plan()
        if not any(isinstance(event, Evaluation) for event, _ in events):
            proposal = self._first_proposal()
            if plan.rejection(proposal) is None:
                preflight(plan.job(proposal))
        with Interrupt() as interrupt, self._executor() as executor:
            loop = Loop(
                self.algorithm,
                plan,
                store,
                budget,
                executor,
                workers=self.workers,
                events=events,
                show=show,
                keep_all=self.keep_all_checkpoints,
                interrupt=interrupt,
            )
            loop.run()

    def _restore(self, events: Sequence[Event]) -> None:
        self.algorithm.start(self.problem, seed=self.seed)
        try:
            self.algorithm.restore(event for event, _ in events)
        except Exception as error:
            raise CorruptStoreError(
                f"{str(self.directory / FILE_NAME)!r} holds what {type(self.algorithm).__name__} never asked or was "
                f"told ({type(error).__name__}: {error}); was it written by another version? Start in a new directory"
            ) from error

    def _plan(self) -> TrainingPlan:
        return TrainingPlan(
            factory=self.factory,
            objectives=self.objectives,
            constraints=self.constraints,
            problem=self.problem,
            trainer=self.trainer,
            directory=self.directory,
            seed=self.seed,
        )

    def _first_proposal(self) -> Proposal:
        """What the algorithm would propose first, to try the training out on."""
        pending = self.algorithm.pending
        if pending:
            return Proposal(trial_id=pending[0].id, config=pending[0].config, epoch=1)
        proposal = self.algorithm.ask()
        self.algorithm.start(self.problem, seed=self.seed)
        if proposal is None:
            raise InvalidArgumentError("'space' holds no configuration that the algorithm could propose")
        return proposal

    @contextmanager
    def _executor(self) -> Iterator[Executor]:
        """The user's executor, which stays open, or one of ours."""
        if self.executor is not None:
            yield self.executor
        else:
            with InProcess() if self.workers == 1 else LocalProcesses(self.workers) as executor:
                yield executor

    def _result(self, events: Sequence[Event]) -> Result:
        return Result(
            self.problem,
            events,
            directory=self.directory,
            build=self.factory,
            seed=self.seed,
            trainer=self.trainer,
            description=self._description,
        )
