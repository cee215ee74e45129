"""One run of a search, from what its log says to the budget's end: restore, try one batch, loop, measure again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import replace
from pathlib import Path

import numpy as np

from lightning_primo.algorithms import Algorithm
from lightning_primo.display.notes import note
from lightning_primo.errors import InvalidArgumentError
from lightning_primo.layout import preflight_directory
from lightning_primo.problem.trial import Config, Origin, Proposal
from lightning_primo.results.ended import forget_ended
from lightning_primo.search.ending import Ending
from lightning_primo.search.front_measurement import measure_front_again
from lightning_primo.search.interrupt import Interrupt
from lightning_primo.search.loop import Loop
from lightning_primo.search.worker_calls import preflight_elsewhere
from lightning_primo.space import Encoding
from lightning_primo.store import Store
from lightning_primo.study.beginning import Beginning, restore
from lightning_primo.training import Job, TrainingPlan, devices_per_trial, preflight
from lightning_primo.training.options import TrainerArguments
from lightning_primo.workers import ExecutorWorkers, InProcess, LocalProcesses, Workers
from lightning_primo.workers.rank_group import end_ranks

_N_BUILT = 8  # configurations besides the first, before a search begins
_STREAM = 0xB111D  # keeps their random numbers apart from those of the algorithms


def run_session(
    algorithm: Algorithm,
    plan: TrainingPlan,
    store: Store,
    ending: Ending,
    workers: Workers,
    *,
    beginning: Beginning,
    keep_all_checkpoints: bool,
    remeasure: int,
    show: bool,
) -> None:
    """Go on with a search until it is to end.

    Args:
        algorithm: Is started anew and restored from the log.
        plan: Makes jobs of proposals.
        store: The log, opened for writing.
        ending: When to stop.
        workers: Where jobs run; closed in the end.
        beginning: The configurations that are tried first, and the results that are known.
        keep_all_checkpoints: Whether to keep every checkpoint.
        remeasure: How often the noisy objectives of the front are measured again in the end.
        show: Whether to show progress.

    Raises:
        CorruptStoreError: The log holds what the algorithm never asked or was told.
        KeyboardInterrupt: On Ctrl-C.
    """
    events = restore(algorithm, plan.problem, store, seed=plan.seed)
    with Interrupt() as interrupt, workers:
        workers.start()
        if not any(trial.evaluations and not trial.known for trial in algorithm.trials):
            beginning.enqueue(algorithm)
            _preflight(algorithm, plan, store, workers)  # before anything is recorded: what fails may become another
        for sentence in beginning.enter(algorithm, store, elapsed=events[-1][1] if events else 0.0):
            note(sentence)
        forget_ended(store.directory)
        Loop(
            algorithm,
            plan,
            store,
            ending,
            workers,
            events=store.events(),
            show=show,
            keep_all=keep_all_checkpoints,
            interrupt=interrupt,
        ).run()
        if remeasure:
            measure_front_again(
                plan,
                store.events(),
                workers,
                directory=store.directory,
                times=remeasure,
                show=show,
                interrupt=interrupt,
            )


def make_workers(executor: Executor | None, workers: int | None, trainer: TrainerArguments) -> Workers:
    """Where a search trains: below the user's executor, in this process, or in local ones.

    Args:
        executor: The user's, if there is one.
        workers: Trainings at a time; None for as many as it has.
        trainer: Arguments of the Trainer, or a function that gives them.
    """
    if executor is not None:
        return ExecutorWorkers(executor, workers)
    if workers is None or workers == 1:
        return InProcess()
    return LocalProcesses(workers, devices=None if callable(trainer) else devices_per_trial(trainer))


def first_job(algorithm: Algorithm, plan: TrainingPlan) -> Job | None:
    """What is proposed next, to try the training on; None if bounds reject all there is.

    Where a given configuration breaks a bound it is the next one that was given, or else the algorithm's own.

    Raises:
        InvalidArgumentError: If there is nothing that it could propose.
    """
    return next((plan.job(next_one) for next_one in _proposals(algorithm) if plan.rejection(next_one) is None), None)


def some_configurations(plan: TrainingPlan) -> Sequence[Config]:
    """A few configurations from all over the space, the same in each run of the search."""
    encoding = Encoding(plan.problem.space)
    return encoding.configs(encoding.sample(_N_BUILT, np.random.default_rng([plan.seed, _STREAM])))


def room_to_try(directory: Path) -> Path | None:
    """Where one batch is tried out for a search that may not have a directory yet; None then."""
    return preflight_directory(directory) if directory.is_dir() else None


def _proposals(algorithm: Algorithm) -> Iterator[Proposal]:
    pending = algorithm.pending
    if pending:
        yield Proposal(trial_id=pending[0].id, config=pending[0].config, epoch=1)
        return
    proposal = algorithm.peek()
    if proposal is None:
        raise InvalidArgumentError("'space' holds no configuration that the algorithm could propose")
    yield proposal
    if proposal.origin is Origin.GIVEN:
        yield from (replace(proposal, config=dict(config)) for config in algorithm.queue[1:])
        own = algorithm.propose(np.random.default_rng([algorithm.seed, algorithm.n_asked]))
        if own is not None:
            yield own


def _preflight(algorithm: Algorithm, plan: TrainingPlan, store: Store, workers: Workers) -> None:
    """Train one batch, on the machine where the trials are going to be trained."""
    job = first_job(algorithm, plan)
    if job is None:
        return
    if not workers.here:
        preflight_elsewhere(workers, job, store.path, some_configurations(plan))
        return
    preflight(job, others=some_configurations(plan), folder=preflight_directory(store.directory))
    if workers.size > 1:
        end_ranks()  # the trials have theirs in other processes
