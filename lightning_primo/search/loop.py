"""The loop of a search: ask the algorithm, train what it proposes, store what came of it, tell the algorithm; again."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import replace
from typing import Any

from lightning_primo.algorithms import Algorithm
from lightning_primo.disk import storage_explained
from lightning_primo.display import Snapshot, make_progress
from lightning_primo.display.notes import note
from lightning_primo.objectives.benches.places import Places
from lightning_primo.problem.trial import Evaluation, Proposal, Status, lineage
from lightning_primo.results import FrontTracker
from lightning_primo.results.ended import write_ended
from lightning_primo.results.formatting import format_spent
from lightning_primo.search.ending import Ending
from lightning_primo.search.front_measurement import noisy_names
from lightning_primo.search.futility import Futility
from lightning_primo.search.interrupt import Interrupt
from lightning_primo.search.outcomes import Outcomes
from lightning_primo.search.requests import Requests
from lightning_primo.search.worker_calls import check_places, train
from lightning_primo.store import Event, Store
from lightning_primo.training import Job
from lightning_primo.training.checkpoint.claim import issue, revoke
from lightning_primo.training.checkpoint.epoch_checkpoints import EpochCheckpoints
from lightning_primo.training.checkpoint.retention import Retention
from lightning_primo.training.plan import TrainingPlan
from lightning_primo.training.replicates.bar import Bars
from lightning_primo.workers import Workers

_LOOK_SECONDS = 5.0  # between two looks at how many workers a cluster has


class Loop:
    """One run of a search.

    Args:
        algorithm: Restored to the state of `events`.
        plan: Makes jobs of proposals.
        store: Where everything is recorded before it counts.
        ending: When to stop.
        workers: Where jobs run.
        events: What was asked and told in earlier runs.
        show: Whether to show progress.
        keep_all: Whether to keep every checkpoint.
        interrupt: Says whether Ctrl-C was pressed.
    """

    def __init__(
        self,
        algorithm: Algorithm,
        plan: TrainingPlan,
        store: Store,
        ending: Ending,
        workers: Workers,
        *,
        events: Sequence[Event],
        show: bool,
        keep_all: bool,
        interrupt: Interrupt,
    ) -> None:
        self._algorithm = algorithm
        self._plan = plan
        self._store = store
        self._ending = ending
        self._workers = workers
        self._show = show
        self._interrupt = interrupt
        self._running: dict[Future[Evaluation], tuple[Proposal, Job]] = {}
        self._unfinished = _unfinished(events)
        self._outcomes = Outcomes(store.directory, (proposal.trial_id for proposal in self._unfinished))
        self._started = time.monotonic()
        self._seconds_before = events[-1][1] if events else 0.0
        self._tracker = FrontTracker(plan.problem)
        self._places = Places()
        self._places_are_checked = False
        self._requests = Requests(store, algorithm)
        self._futility = Futility()
        self._failures: dict[str, int] = {}
        self._n_rejected = 0
        names = noisy_names(plan.objectives)
        self._epoch_checkpoints = EpochCheckpoints(store.directory, algorithm)
        self._checkpoints = None if keep_all else Retention(store.directory, algorithm, plan.problem, noisy=names)
        self._bars = Bars(plan.problem, (c.objective.name for c in plan.trained))
        for event, _ in events:
            if isinstance(event, Evaluation):
                self._count(event)
            else:
                self._bars.asked(event)

    def run(self) -> None:
        """Go on until the budget is used up, a rule is fulfilled, or the algorithm has nothing left to propose.

        Raises:
            TrialFailedError: Going on would only waste the budget.
            DeviceMismatchError: A latency or memory would be measured on another device than those before.
            ExecutorError: The executor takes no more jobs.
            StorageError: A trial could not be written; its proposal stays pending.
            KeyboardInterrupt: On Ctrl-C.
        """
        with make_progress(self._show, problem=self._plan.problem, start=self._snapshot()) as self._display:
            self._prune()
            try:
                while self._fill():
                    self._interrupt.check()
                    self._finish_some()
            finally:
                self._abandon()
            self._prune(completely=True)
        reason = self._ended()
        if reason is None:
            reason = "the algorithm has nothing left to propose, every configuration that it could find was tried"
            note(f"{reason}; {format_spent(*self._spent())} were spent")
        elif self._show:
            note(f"the search has ended: {reason}")
        write_ended(self._store.directory, reason)

    def _fill(self) -> bool:
        """Keep every worker busy while there is budget; whether any is busy then."""
        n_jobs = self._workers.size
        while len(self._running) < n_jobs:
            self._interrupt.check()
            proposal = self._next()
            if proposal is None:
                break
            rejected = self._plan.rejection(proposal)
            if rejected is not None:
                self._tell(proposal, rejected)
                continue
            if not self._places_are_checked:
                check_places(self._workers, (*self._plan.objectives, *self._plan.constraints), self._places.known)
                self._places_are_checked = True
            self._display.started(proposal)
            self._start(proposal)
        return bool(self._running)

    def _start(self, proposal: Proposal) -> None:
        job = replace(self._job(proposal), measured_on=dict(self._places.known), bar=self._bars.of(proposal))
        with storage_explained(f"{str(job.directory)!r} cannot be written"):
            self._keep_what_others_start_from(proposal)
            job = replace(job, ticket=issue(job.directory))
        future = self._workers.submit(train, job, self._store.path, seconds=job.seconds_left)
        self._running[future] = proposal, job

    def _job(self, proposal: Proposal) -> Job:
        trials = self._algorithm.trials
        trial = trials[proposal.trial_id]
        seconds = sum(evaluation.seconds for evaluation in trial.evaluations)
        *line, _ = lineage(trials, trial)
        if proposal.inherits and not line and trial.parent is not None:
            line = [trials[trial.parent]]
        return self._plan.job(proposal, line, seconds=seconds)

    def _keep_what_others_start_from(self, proposal: Proposal) -> None:
        """Keep the checkpoint that this proposal takes over, or that others may after it has replaced it."""
        if not proposal.start_epoch:
            return
        trial, epoch = self._algorithm.trials[proposal.trial_id], proposal.start_epoch
        if proposal.inherits and trial.parent is not None:
            self._epoch_checkpoints.keep(trial.parent, epoch)
        elif self._algorithm.may_fork(trial, epoch):
            self._epoch_checkpoints.keep(trial.id, epoch)

    def _next(self) -> Proposal | None:
        """A proposal that an earlier run left unfinished, or a new one, recorded."""
        if self._unfinished:
            return self._unfinished.pop(0)
        if self._ended() is not None:
            return None
        self._requests.take(elapsed=self._elapsed())
        epochs_left, timed = self._ending.left(**self._used())
        proposal = self._algorithm.ask(epochs_left=epochs_left, timed=timed)
        self._interrupt.check()  # a Ctrl-C that compiled code has swallowed may have spoiled what it computed
        if proposal is not None:
            self._requests.forget_stop(proposal.trial_id)
            self._store.ask(proposal, elapsed=self._elapsed())
            self._bars.asked(proposal)
        return proposal

    def _finish_some(self) -> None:
        """Wait for jobs, and tell what came of them.

        No future outlives this: Dask would run its job again for whoever still has it when the worker that holds its
        result is lost.
        """
        look = _LOOK_SECONDS if self._workers.elastic else None
        done = self._workers.first_done(self._running, seconds=look)
        for future in sorted(done, key=lambda future: self._running[future][1].trial_id):
            self._finish(future)

    def _finish(self, future: Future[Evaluation]) -> None:
        proposal, job = self._running.pop(future)
        _revoke(job)
        evaluation = self._outcomes.of(future, job)
        if evaluation is None:
            self._unfinished.insert(0, proposal)
        else:
            self._tell(proposal, evaluation)

    def _abandon(self) -> None:
        """Let what still runs end early, wherever that is; it is trained on when the search goes on."""
        for future, (_, job) in self._running.items():
            future.cancel()
            _revoke(job)

    def _tell(self, proposal: Proposal, evaluation: Evaluation) -> None:
        self._places.check(evaluation)
        self._store.tell(evaluation, elapsed=self._elapsed())
        self._algorithm.tell(evaluation)
        self._count(evaluation)
        self._prune()
        self._display.finished(proposal, evaluation, self._snapshot())
        self._futility.check(evaluation)

    def _count(self, evaluation: Evaluation) -> None:
        trial = self._algorithm.trials[evaluation.trial_id]
        self._bars.told(evaluation)
        self._places.add(evaluation)
        self._ending.told(evaluation, trial.config)
        if not trial.known or evaluation.counts_at(self._algorithm.problem.max_epochs):
            self._tracker.add(evaluation)
        if trial.known:  # nor could a shorter one go on
            return
        if evaluation.ok:
            self._outcomes.logged()
        if self._checkpoints is not None:
            self._checkpoints.add(evaluation)
        self._futility.add(evaluation)
        if evaluation.status.failed:
            self._failures[evaluation.status.value] = self._failures.get(evaluation.status.value, 0) + 1
        if evaluation.status is Status.REJECTED:
            self._n_rejected += 1

    def _prune(self, *, completely: bool = False) -> None:
        if self._checkpoints is not None:
            self._checkpoints.prune(completely=completely)
        self._epoch_checkpoints.prune()

    def _elapsed(self) -> float:
        return self._seconds_before + time.monotonic() - self._started

    def _ended(self) -> str | None:
        """Why nothing more is begun; None as long as something is."""
        return self._ending.reason(**self._used())

    def _used(self) -> dict[str, Any]:
        """What was spent, what is being trained included."""
        return {"epochs": self._algorithm.epochs_committed, "seconds": self._elapsed(), "trials": self._n_begun}

    @property
    def _n_begun(self) -> int:
        """The configurations that count for a budget of trials."""
        return len(self._algorithm.trials) - self._algorithm.n_known - self._n_rejected

    def _spent(self) -> tuple[float, float, str]:
        pending = (*(proposal for proposal, _ in self._running.values()), *self._unfinished)
        return self._ending.display(
            epochs=self._algorithm.epochs_committed - sum(map(self._plan.problem.cost, pending)),
            seconds=self._elapsed(),
            trials=self._n_begun,
        )

    def _snapshot(self) -> Snapshot:
        spent, total, unit = self._spent()
        return Snapshot(
            spent=spent,
            total=total,
            unit=unit,
            n_trials=len(self._algorithm.trials),
            n_running=len(self._running),
            failures=dict(self._failures),
            front=self._tracker.values,
            hypervolume=self._tracker.hypervolume,
            reference=self._tracker.reference,
            partly=self._tracker.partly,
            n_infeasible=self._tracker.n_infeasible,
        )


def _revoke(job: Job) -> None:
    """Let no attempt at this training write any more."""
    with suppress(OSError):  # nor can it write, then
        revoke(job.directory)


def _unfinished(events: Sequence[Event]) -> list[Proposal]:
    """What was asked but never told, in order."""
    unfinished: dict[int, Proposal] = {}
    for event, _ in events:
        if isinstance(event, Proposal):
            unfinished[event.trial_id] = event
        else:
            unfinished.pop(event.trial_id, None)
    return list(unfinished.values())
