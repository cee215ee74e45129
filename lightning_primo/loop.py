"""The loop of a search: ask the algorithm, train what it proposes, store what came of it, tell the algorithm; again."""

from __future__ import annotations

import sys
import time
import traceback
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait

from lightning_primo.algorithms import Algorithm
from lightning_primo.budget import Budget
from lightning_primo.errors import TrialFailedError
from lightning_primo.front import FrontTracker
from lightning_primo.progress import Snapshot, make_progress
from lightning_primo.store import Event, Store
from lightning_primo.training import metric_is_missing, run_job, signature_of
from lightning_primo.training.plan import TrainingPlan
from lightning_primo.trial import Evaluation, Proposal, Status

_SAME_FAILURES = 3  # trials that fail alike before any succeeds: the user's bug, not the configurations'
_REJECTIONS = 50  # trials rejected before any is trained: the bounds leave next to nothing


class Loop:
    """One run of a search.

    Args:
        algorithm: Restored to the state of `events`.
        plan: Makes jobs of proposals.
        store: Where everything is recorded before it counts.
        budget: When to stop.
        executor: Where jobs run.
        workers: Jobs at a time.
        events: What was asked and told in earlier runs.
        show: Whether to show progress.
    """

    def __init__(
        self,
        algorithm: Algorithm,
        plan: TrainingPlan,
        store: Store,
        budget: Budget,
        executor: Executor,
        *,
        workers: int,
        events: Sequence[Event],
        show: bool,
    ) -> None:
        self._algorithm = algorithm
        self._plan = plan
        self._store = store
        self._budget = budget
        self._executor = executor
        self._workers = workers
        self._show = show
        self._running: dict[Future[Evaluation], Proposal] = {}
        self._unfinished = _unfinished(events)
        self._started = time.monotonic()
        self._seconds_before = events[-1][1] if events else 0.0
        self._tracker = FrontTracker(plan.problem)
        self._failures: dict[str, int] = {}
        self._signatures: list[str | None] = []
        self._rejected_in_a_row = 0
        self._n_rejected = 0
        for event, _ in events:
            if isinstance(event, Evaluation):
                self._count(event)

    def run(self) -> None:
        """Go on until the budget is used up, the space is exhausted, or Ctrl-C."""
        with make_progress(self._show, problem=self._plan.problem, start=self._snapshot()) as self._display:
            try:
                while True:
                    self._fill()
                    if not self._running:
                        return
                    done, _ = wait(self._running, return_when=FIRST_COMPLETED)
                    for future in sorted(done, key=lambda future: self._running[future].trial_id):
                        self._finish(future)
            except KeyboardInterrupt:
                stopped = True
            else:
                stopped = False
        if stopped:
            print(
                f"stopped by Ctrl-C after {self._algorithm.epochs_committed:g} epochs; everything that was told is "
                f"kept in {str(self._store.directory)!r}, and the same call goes on from here",
                file=sys.stderr,
            )

    def _fill(self) -> None:
        """Keep every worker busy while there is budget."""
        while len(self._running) < self._workers:
            proposal = self._next()
            if proposal is None:
                return
            rejected = self._plan.rejection(proposal)
            if rejected is not None:
                self._tell(proposal, rejected)
                continue
            self._display.started(proposal)
            future = self._executor.submit(run_job, self._plan.job(proposal))
            self._running[future] = proposal

    def _next(self) -> Proposal | None:
        """A proposal that an earlier run left unfinished, or a new one, recorded."""
        if self._unfinished:
            return self._unfinished.pop(0)
        if self._share_spent() >= 1:
            return None
        proposal = self._algorithm.ask()
        if proposal is not None:
            self._store.ask(proposal, elapsed=self._elapsed())
        return proposal

    def _finish(self, future: Future[Evaluation]) -> None:
        proposal = self._running.pop(future)
        error = future.exception()
        if error is None:
            evaluation = future.result()
        else:
            evaluation = Evaluation(
                trial_id=proposal.trial_id,
                epoch=proposal.start_epoch,
                losses=self._plan.problem.known(proposal.config),
                status=Status.CRASHED,
                reason="the executor lost the job: " + "".join(traceback.format_exception(error)).strip(),
            )
        self._tell(proposal, evaluation)

    def _tell(self, proposal: Proposal, evaluation: Evaluation) -> None:
        if metric_is_missing(evaluation):
            # The user's to mend; the proposal stays pending and is then carried out.
            raise TrialFailedError(f"trial {evaluation.trial_id} could not be read: {evaluation.reason}")
        self._store.tell(evaluation, elapsed=self._elapsed())
        self._algorithm.tell(evaluation)
        self._count(evaluation)
        self._display.finished(proposal, evaluation, self._snapshot())
        self._stop_at_the_users_bug(evaluation)

    def _count(self, evaluation: Evaluation) -> None:
        self._tracker.add(evaluation)
        if evaluation.status.failed:
            self._failures[evaluation.status.value] = self._failures.get(evaluation.status.value, 0) + 1
        if evaluation.status is Status.REJECTED:
            self._n_rejected += 1
            self._rejected_in_a_row += 1
        else:
            self._rejected_in_a_row = 0
            self._signatures.append(signature_of(evaluation))

    def _stop_at_the_users_bug(self, evaluation: Evaluation) -> None:
        first = self._signatures[:_SAME_FAILURES]
        if len(self._signatures) == _SAME_FAILURES and first[0] is not None and len(set(first)) == 1:
            raise TrialFailedError(
                f"the first {_SAME_FAILURES} trials all failed in the same way, so it is not their configurations: "
                f"{evaluation.reason}\n\nMend it and start in a new directory (or delete "
                f"{str(self._store.directory)!r})"
            )
        if self._rejected_in_a_row >= _REJECTIONS:
            raise TrialFailedError(
                f"the last {_REJECTIONS} configurations all broke a bound before training, the last one by "
                f"{evaluation.reason}; loosen the bound, or narrow the space to what keeps it"
            )

    def _elapsed(self) -> float:
        return self._seconds_before + time.monotonic() - self._started

    def _share_spent(self) -> float:
        return self._budget.spent(
            epochs=self._algorithm.epochs_committed,
            seconds=self._elapsed(),
            trials=len(self._algorithm.trials) - self._n_rejected,
        )

    def _snapshot(self) -> Snapshot:
        spent, total, unit = self._budget.display(
            epochs=self._algorithm.epochs_committed - sum(p.epochs for p in self._running.values()),
            seconds=self._elapsed(),
            trials=len(self._algorithm.trials) - self._n_rejected,
        )
        return Snapshot(
            spent=spent,
            total=total,
            unit=unit,
            n_trials=len(self._algorithm.trials),
            n_running=len(self._running),
            failures=dict(self._failures),
            front=self._tracker.values,
            hypervolume=self._tracker.hypervolume,
        )


def _unfinished(events: Sequence[Event]) -> list[Proposal]:
    """What was asked but never told, in order."""
    unfinished: dict[int, Proposal] = {}
    for event, _ in events:
        if isinstance(event, Proposal):
            unfinished[event.trial_id] = event
        else:
            unfinished.pop(event.trial_id, None)
    return list(unfinished.values())
