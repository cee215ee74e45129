"""Training the front of a search again with new seeds, by whoever trains for the search."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Executor, Future
from contextlib import suppress
from dataclasses import dataclass, replace

from lightning_primo.disk import storage_explained
from lightning_primo.display.steps import steps
from lightning_primo.errors import PrimoError
from lightning_primo.layout import checkpoint_file, repetitions_directory, replicate_directory, trial_directory
from lightning_primo.problem.trial import Evaluation, Proposal, Status
from lightning_primo.results.once_more.repetitions import (
    Repeated,
    Repetition,
    read_repeated,
    repetition_of,
    trained_values,
    write_repeated,
)
from lightning_primo.results.trial_result import TrialResult
from lightning_primo.search.interrupt import Interrupt
from lightning_primo.search.outcomes import Outcomes
from lightning_primo.search.session import make_workers
from lightning_primo.store import Store
from lightning_primo.training import Job, run_job
from lightning_primo.training.checkpoint.claim import issue, revoke
from lightning_primo.training.plan import TrainingPlan, trial_seed

_LOST = (Status.CRASHED, Status.TIMEOUT)  # by the machine's fault, as it may be


@dataclass(frozen=True)
class Repeater:
    """Trains trials of a search again; what is done is kept in its directory, and not done twice.

    What was lost, as its worker died or its time was over, counts as failed, and the next call tries it again.

    Args:
        plan: How the search trains.
        description: What the search is, as text by key.
        workers: Trainings at a time; None for as many as the executor has workers.
        executor: Where they run, if not in processes of ours.
    """

    plan: TrainingPlan
    description: Mapping[str, str]
    workers: int | None
    executor: Executor | None

    def __call__(self, trials: Sequence[TrialResult], *, seeds: int, show: bool) -> Repetition:
        """Train each of some trials from scratch to the full budget, with new seeds, and where there are folds on each.

        Args:
            trials: Of the search.
            seeds: How many, at least 2.
            show: Whether to show progress.

        Raises:
            PrimoError: For a trial whose training began with another one's.
            StoreError: The search runs.
            KeyboardInterrupt: On Ctrl-C; the same call goes on.
        """
        for trial in trials:
            if trial.inherits or len(trial.schedule) > 1:
                raise PrimoError(
                    f"trial {trial.id} cannot be trained again by itself, as its training began with that of trial "
                    f"{trial.parent}; a front is repeated whose members were trained from scratch"
                )
        folds, options = self.plan.options.folds or 1, self.plan.options
        numbers = [[options.replicates + seed * folds + fold for fold in range(folds)] for seed in range(seeds)]
        with Store(self.plan.directory, self.description):
            repeated = read_repeated(self.plan.directory)
            due = [
                self._job(trial, number)
                for row in numbers
                for trial in trials
                for number in row
                if number not in repeated.get(trial.id, {})
            ]
            lost = self._train(due, repeated, show=show)
        for trial_id, values in lost.items():
            repeated.setdefault(trial_id, {}).update(values)
        return repetition_of(self.plan.problem, trials, repeated, numbers)

    def _train(self, due: list[Job], repeated: Repeated, *, show: bool) -> Repeated:
        """Add what comes of `due` to `repeated`, which is kept; what was lost, and is due again next time."""
        lost: Repeated = {}
        if not due:
            return lost
        waiting, running = due[::-1], dict[Future[Evaluation], Job]()
        outcomes = Outcomes(self.plan.directory)
        outcomes.logged()
        what = f"training {len({job.trial_id for job in due})} trials again: {len(due)} trainings"
        workers = make_workers(self.executor, self.workers, self.plan.options.trainer)
        with Interrupt() as interrupt, workers:
            workers.start()
            try:
                for _ in steps(due, what=what, show=show):
                    evaluation = None
                    while evaluation is None:
                        interrupt.check()
                        while waiting and len(running) < workers.size:
                            job = _with_ticket(waiting.pop())
                            running[workers.submit(run_job, job, seconds=job.seconds_left)] = job
                        future = next(iter(workers.first_done(running)))
                        job = running.pop(future)
                        _revoke(job)
                        evaluation = outcomes.of(future, job)
                        if evaluation is None:
                            waiting.append(job)
                    values = trained_values(self.plan.problem, evaluation)
                    told = lost if evaluation.status in _LOST else repeated
                    told.setdefault(job.trial_id, {})[job.replicate] = values
                    write_repeated(self.plan.directory, repeated)
                    checkpoint_file(job.directory).unlink(missing_ok=True)
            finally:
                for future, job in running.items():
                    future.cancel()
                    _revoke(job)
        return lost

    def _job(self, trial: TrialResult, number: int) -> Job:
        """A training of one of a trial's further replicates, those of the search coming first."""
        epoch = self.plan.problem.max_epochs
        job = self.plan.job(Proposal(trial_id=trial.id, config=trial.config, epoch=epoch))
        home = trial_directory(repetitions_directory(self.plan.directory), trial.id)
        costs = {name: trial.values[name] for name in trial.values} | dict(trial.measurements)
        return replace(
            job,
            replicate=number,
            seed=trial_seed(job.seed, number),
            directory=replicate_directory(home, number),  # its home too: those of a trial may run at once
            known={**costs, **job.known},
        )


def _with_ticket(job: Job) -> Job:
    """The job as the only one that may write into its directory."""
    with storage_explained(f"{str(job.directory)!r} cannot be written"):
        return replace(job, ticket=issue(job.directory))


def _revoke(job: Job) -> None:
    """Let no attempt at this training write any more."""
    with suppress(OSError):  # nor can it write, then
        revoke(job.directory)
