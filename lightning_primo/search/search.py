"""The search as a user sees it: what is searched, how it is trained, and `run`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import replace
from pathlib import Path
from typing import Any

from ConfigSpace import ConfigurationSpace
from lightning.pytorch.utilities.exceptions import SIGTERMException

from lightning_primo.algorithms import Algorithm, PriMO
from lightning_primo.checks import LARGEST_SEED, check_bool, check_whole
from lightning_primo.factory import Factory
from lightning_primo.objectives import ObjectiveCallback
from lightning_primo.results import Result
from lightning_primo.search.arguments import (
    check_algorithm,
    check_choices,
    check_directory,
    check_executor,
    check_objectives,
    check_remeasure,
    check_replicates,
    check_timeout,
    check_trainer,
    check_workers,
    read_fidelity,
)
from lightning_primo.search.budget import Budget
from lightning_primo.search.description import describe, describe_trainings
from lightning_primo.search.ending import Ending, note_plans
from lightning_primo.search.front_timing import FrontTimer
from lightning_primo.search.interrupt import TERMINATED
from lightning_primo.search.leavings import leave_report, note_stopped, record_environment
from lightning_primo.search.overview import search_html
from lightning_primo.search.posed_problem import posed_problem
from lightning_primo.search.repetition import Repeater
from lightning_primo.search.session import first_job, make_workers, room_to_try, run_session, some_configurations
from lightning_primo.search.steering import Steered
from lightning_primo.search.stopping import StoppingRule, check_rules
from lightning_primo.search.worker_calls import known_places
from lightning_primo.store import Event, Store, read_events
from lightning_primo.study.beginning import Beginning
from lightning_primo.study.earlier_search import Continuation
from lightning_primo.training import check_indices, preflight
from lightning_primo.training.options import TrainerArguments, TrainingOptions
from lightning_primo.training.plan import TrainingPlan


class Search(Steered):
    """A multi-objective search over architectures and hyperparameters.

    Args:
        space: The search space, conditions and forbidden clauses included.
        module: How to build the LightningModule of a configuration: a callable ``config -> LightningModule``, or a
            LightningModule class, which gets the keys that its constructor accepts.
        objectives: What is optimised: `Metric`, `ParameterCount`, `FLOPs`, `Latency`, `PeakMemory`, `TrainingTime`.
        epochs: The fidelity: (shortest, full) training.
        steps: The same in optimiser steps instead, ``(500, 13_500)``: trainings end, and go on, inside epochs.
        data: The same in fractions of the training data, ``(1/27, 1)``: each training runs the Trainer's own
            ``max_epochs`` on its fraction, and begins anew on a larger one.
        directory: Where log, checkpoints and pictures go. The same call goes on with the search that it holds.
        datamodule: A LightningDataModule for all, a callable ``config -> LightningDataModule``, a LightningDataModule
            class, plain DataLoaders, or None where the module has its own.
        example_inputs: What modules are called with to measure their costs: a tensor, a tuple of positional or a dict
            of keyword arguments, or a function of the configuration. Default: the module's `example_input_array`, else
            a sample of its training data. An objective may have its own.
        constraints: What only bounds the search and is not optimised: costs such as ``FLOPs(at_most=1e7)``, and metrics
            such as ``Metric("val_acc", at_least=0.9)``.
        algorithm: Default `PriMO()`.
        first: Configurations to try first, ``[{"lr": 1e-3}]``; what they leave out has the space's defaults.
        known: Results that exist already, as observations that cost nothing: ``[(config, values)]``, where they are of
            a shorter training with its epoch as a third, a CSV file, an earlier search's directory or its result.
        continues: An earlier search to go on from in this directory, with another space, other objectives or another
            algorithm; `Continuation` where a full training has another length.
        repeats: With how many seeds each full training is carried out; trials have the means.
        folds: On how many folds of the data; the data module has a method ``fold``, as `KFoldData` has.
        trainer: Arguments of the Lightning Trainer, or a function ``config -> dict`` that gives them, so that they can
            be searched over. Callbacks and loggers are copied for each trial and write into its directory. ``logger``
            may also be a function ``directory -> Logger``, as W&B and MLflow need it, see `training.loggers`.
        workers: Trainings at a time, in local processes if more than 1. Default 1, or all workers of the `executor`.
        executor: Any `concurrent.futures.Executor` to train with instead; it stays open.
        seed: All randomness follows from it.
        keep_all_checkpoints: Whether to keep the weights of every trial, not only of the front (where a latency is
            measured again, also of those up to 1.5 times as slow) and of what may still be continued or inherited from.
        remeasure: How often a latency is measured again when the budget is used up, for the trials that are on the
            front or may be by their spread; the result has the medians. 0: not at all, up to 1000.
        retry_out_of_memory: Whether a training that runs out of memory is tried again with `MicroBatches`.
        trial_timeout: Wall-clock seconds that a trial may take over all its trainings; it then fails. One that hangs in
            a batch is killed half a minute later where it has a process of its own: with `workers` or an `executor`.

    Raises:
        InvalidArgumentError: For any argument that cannot work, before anything is trained.
    """

    def __init__(
        self,
        space: ConfigurationSpace,
        *,
        module: Any,
        objectives: Sequence[ObjectiveCallback],
        epochs: tuple[int, int] | None = None,
        steps: tuple[int, int] | None = None,
        data: tuple[Any, Any] | None = None,
        directory: str | Path,
        datamodule: Any = None,
        example_inputs: Any = None,
        constraints: Sequence[ObjectiveCallback] = (),
        algorithm: Algorithm | None = None,
        first: Sequence[Mapping[str, Any]] = (),
        known: Any = (),
        continues: str | Path | Continuation | None = None,
        repeats: int = 1,
        folds: int | None = None,
        trainer: TrainerArguments | None = None,
        workers: int | None = None,
        executor: Executor | None = None,
        seed: int = 0,
        keep_all_checkpoints: bool = False,
        remeasure: int = 5,
        retry_out_of_memory: bool = True,
        trial_timeout: float | None = None,
    ) -> None:
        check_choices(space)
        check_objectives(objectives, constraints)
        check_algorithm(algorithm)
        check_executor(executor)
        self.workers = check_workers(workers, executor)
        self.options = TrainingOptions(
            trainer=check_trainer(trainer),
            retry_out_of_memory=check_bool("retry_out_of_memory", retry_out_of_memory),
            trial_timeout=check_timeout(trial_timeout),
            **check_replicates(repeats, folds, datamodule),
        )
        if executor is None and not callable(self.options.trainer):
            check_indices(self.options.trainer, self.workers or 1)
        self.factory = Factory(module, datamodule, example_inputs=example_inputs)
        self.factory.check(list(space.keys()), read_elsewhere=callable(self.options.trainer))
        self.objectives = tuple(objectives)
        self.constraints = tuple(constraints)
        self.directory = check_directory(directory)
        self.executor = executor
        self.seed = check_whole("seed", seed, least=0, most=LARGEST_SEED)
        self.keep_all_checkpoints = check_bool("keep_all_checkpoints", keep_all_checkpoints)
        self.remeasure = check_remeasure(remeasure)
        lengths = read_fidelity(self.options.trainer, epochs=epochs, steps=steps, data=data)
        posed = posed_problem(space, self.factory, self.objectives, self.constraints, lengths)
        self.problem = replace(posed, replicates=self.options.replicates)
        self.algorithm = algorithm or PriMO()
        self.algorithm.start(self.problem, seed=seed)
        self._description = describe(
            self.problem, objectives=objectives, constraints=constraints, algorithm=self.algorithm, seed=seed
        ) | describe_trainings(self.options, self.problem)
        self._beginning = Beginning.of(
            self.problem,
            directory=self.directory,
            description=self._description,
            first=first,
            known=known,
            continues=continues,
            place_here=known_places((*self.objectives, *self.constraints), executor),
        )
        self._beginning.enqueue(self.algorithm)

    def run(
        self,
        *,
        full_trainings: float | None = None,
        epochs: float | None = None,
        steps: float | None = None,
        hours: float | None = None,
        device_hours: float | None = None,
        trials: int | None = None,
        stop: StoppingRule | Sequence[StoppingRule] | None = None,
        progress: bool = True,
        report: bool = True,
    ) -> Result:
        """Search until the budget is used up, counting what earlier runs in the same directory have spent.

        Ctrl-C ends the search cleanly, and after any other end, kill -9 included, the same call goes on where it
        stopped. A training that was started is finished, so up to one training per worker more may be spent.

        Args:
            full_trainings: Budget in full trainings, one per seed and fold of a trial.
            epochs: Budget in epochs.
            steps: Budget in optimiser steps, of a search by steps.
            hours: Budget in hours of wall-clock time during which the search ran.
            device_hours: Budget in hours of the devices that trained, added up.
            trials: Budget in configurations started, but for those that are rejected before training.
            stop: Rules that end the search before, such as ``NoImprovement(of=0.01, in_full_trainings=5)`` and
                ``Target(val_error=0.05)``; see `search.stopping` on resuming.
            progress: Whether to show what is going on, on standard error.
            report: Whether to write ``report.html`` into the directory in the end.

        Returns:
            What was found so far, also after Ctrl-C.

        Raises:
            InvalidArgumentError: For a budget that is none, or a rule that does not fit the search.
            MetricNotLoggedError: The module does not log one of the objectives.
            CheckpointError: The module or a callback puts objects into checkpoints that could not be loaded again.
            TrialFailedError: The first trials, or many in a row, failed in the same way or broke the bounds.
            ExecutorError: The executor takes no more jobs.
            DeviceMismatchError: A latency or memory would be measured on another device than those so far.
            StoreError: The directory is in use, damaged, not writable, or holds another search.
            StorageError: The disk is full or read-only; the same call goes on with that trial.
            SystemExit: A SIGTERM has ended the search; the exit code is 143.
        """
        amounts = {"full_trainings": full_trainings, "epochs": epochs, "steps": steps}
        limits: dict[str, Any] = {**amounts, "hours": hours, "device_hours": device_hours, "trials": trials}
        budget = Budget(**limits, fidelity=self.problem.fidelity)
        check_bool("report", report)
        plan = self._plan()
        ending = Ending(budget, check_rules(stop), self.problem, plan.devices)
        note_plans(self.algorithm, budget)
        with Store(self.directory, self._description) as store:
            record_environment(self.directory, workers=self.workers, executor=self.executor)
            try:
                run_session(
                    self.algorithm,
                    plan,
                    store,
                    ending,
                    make_workers(self.executor, self.workers, self.options.trainer),
                    beginning=self._beginning,
                    keep_all_checkpoints=self.keep_all_checkpoints,
                    remeasure=self.remeasure,
                    show=progress,
                )
            except KeyboardInterrupt:
                result = note_stopped(self._result(store.events()), "Ctrl-C")
            except SIGTERMException as termination:
                note_stopped(self._result(store.events()), "SIGTERM")
                raise SIGTERMException(TERMINATED) from termination
            else:
                result = self._result(store.events())
        return leave_report(result) if report else result

    def result(self) -> Result:
        """What was found so far, without searching; also while another process searches.

        Raises:
            StoreError: There is no search in the directory yet, or another one, or its file is damaged.
        """
        return self._result(read_events(self.directory, self._description))

    def preflight(self, *, report: Callable[[BaseException], None] | None = None) -> set[str] | None:
        """Train one batch of the first configuration, as `run` does before a new search; nothing is kept.

        The modules of a few others are built, and an UnbuildableWarning says which cannot be; an
        UnreadHyperparameterWarning names hyperparameters that nothing looks at meanwhile.

        Args:
            report: Is given the exception if the module's or the data's own code raises one, which is otherwise left
                to the trials.

        Returns:
            The names of the metrics that the module logs. None if its own code raised an exception, or if a bound
            keeps the configuration from being trained.

        Raises:
            InvalidArgumentError: If an argument turns out not to fit, such as a device that is not there.
            MetricNotLoggedError: The module does not log one of the objectives.
            CheckpointError: A checkpoint could not be loaded again.
            NotMeasurableError: A cost can't be measured.
            StorageError: The disk is full or cannot be written to.
        """
        plan = self._plan()
        job, folder = first_job(self.algorithm, plan), room_to_try(self.directory)
        return None if job is None else preflight(job, others=some_configurations(plan), folder=folder, report=report)

    def _repr_html_(self) -> str:
        return search_html(self.problem, self.algorithm, directory=self.directory, seed=self.seed)

    def _plan(self) -> TrainingPlan:
        return TrainingPlan(
            factory=self.factory,
            objectives=self.objectives,
            constraints=self.constraints,
            problem=self.problem,
            directory=self.directory,
            seed=self.seed,
            options=self.options,
        )

    def _result(self, events: Sequence[Event]) -> Result:
        return Result(
            self.problem,
            events,
            directory=self.directory,
            build=self.factory,
            seed=self.seed,
            trainer=self.options.trainer,
            description=self._description,
            repeater=Repeater(self._plan(), self._description, self.workers, self.executor),
            timer=FrontTimer(self.factory, self.objectives, self.seed),
        )
