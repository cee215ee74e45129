"""Ask and tell with the durability of a search, for whatever is not trained by Lightning."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from lightning_primo.algorithms import Algorithm, PriMO
from lightning_primo.checks import LARGEST_SEED, check_bool, check_instance, check_path, check_whole, shown
from lightning_primo.errors import InvalidArgumentError, TrialFailedError
from lightning_primo.problem import Problem
from lightning_primo.problem.trial import Evaluation, Proposal, Status, Trial
from lightning_primo.space import check_space, completed
from lightning_primo.store import Store
from lightning_primo.study.beginning import Beginning, restore
from lightning_primo.study.description import describe_problem
from lightning_primo.study.earlier_search import Continuation
from lightning_primo.study.study_result import StudyResult
from lightning_primo.study.told import failed, told

_REJECTED_IN_A_ROW = 50  # configurations that break a bound; what keeps it is then not to be found by chance


class Study:
    """Proposals of an algorithm, each recorded before it is given out, and what came of them::

        with Study("runs/mine", problem, PriMO(), seed=1) as study:
            while study.full_trainings < 20 and (proposal := study.ask()) is not None:
                study.tell(proposal.trial_id, train(proposal))

    After kill -9 at any moment the same lines go on as if nothing had happened: `ask` first gives out again what was
    asked for and never told, and then what it would have proposed. `Search` is this and trainings.

    One process has a study open at a time, and calls it from one thread; its workers may be anywhere.

    Args:
        directory: Where the log goes. The same call with the same directory goes on with the study that it holds.
        problem: What is searched.
        algorithm: Default `PriMO()`.
        seed: All randomness follows from it.
        first: As for `Search`.
        known: As for `Search`.
        continues: As for `Search`.

    Attributes:
        taken_over: For people: what of `known` and `continues` was taken over when it was opened, and what not.

    Raises:
        InvalidArgumentError: For any argument that cannot work.
        StoreError: The directory is in use, damaged, not writable, or holds another study.
    """

    def __init__(
        self,
        directory: str | Path,
        problem: Problem,
        algorithm: Algorithm | None = None,
        *,
        seed: int = 0,
        first: Sequence[Mapping[str, Any]] = (),
        known: Any = (),
        continues: str | Path | Continuation | None = None,
    ) -> None:
        self.directory = check_path("directory", directory, example="runs/first")
        self.problem: Problem = check_instance("problem", problem, Problem, example="Problem(space=..., ...)")
        check_space(problem.space)
        self.algorithm: Algorithm = check_instance("algorithm", algorithm, Algorithm, example="PriMO()", default=PriMO)
        self.seed = check_whole("seed", seed, least=0, most=LARGEST_SEED)
        self.algorithm.start(problem, seed=seed)
        self._description = describe_problem(problem, algorithm=self.algorithm, seed=seed)
        beginning = Beginning.of(
            problem,
            directory=self.directory,
            description=self._description,
            first=first,
            known=known,
            continues=continues,
        )
        self._opened = time.monotonic()
        self._seconds_before = 0.0
        self._store = Store(self.directory, self._description)
        try:
            events = restore(self.algorithm, problem, self._store, seed=seed)
            self._seconds_before = events[-1][1] if events else 0.0
            self.taken_over = tuple(beginning.enter(self.algorithm, self._store, elapsed=self._elapsed()))
        except BaseException:
            self._store.close()
            raise
        self._pending: dict[int, Proposal] = {}
        for event, _ in events:
            if isinstance(event, Proposal):
                self._pending[event.trial_id] = event
            else:
                del self._pending[event.trial_id]
        self._again = list(self._pending.values())

    def ask(self, *, full_trainings_left: float = math.inf) -> Proposal | None:
        """The next proposal, recorded; None if there is none until a pending one is told.

        What an earlier process was asked for and never told comes first, each once. A configuration that breaks a
        bound on an exact quantity is recorded as rejected, and not given out. None with nothing pending means that the
        space is exhausted.

        Args:
            full_trainings_left: What may still be spent, such as ``20 - study.full_trainings``: near the end some
                algorithms finish what they have begun. Default: no end is known.

        Raises:
            TrialFailedError: If many configurations in a row break a bound.
            StoreError: If it cannot be recorded; nothing was proposed then.
        """
        for _ in range(_REJECTED_IN_A_ROW):
            proposal = self._again.pop(0) if self._again else self._new(full_trainings_left)
            if proposal is None:
                return None
            reason = self.problem.violation(proposal.config)
            if reason is None:
                return proposal
            self._record(failed(proposal, self.problem, reason, status=Status.REJECTED))
        raise TrialFailedError(
            f"the last {_REJECTED_IN_A_ROW} configurations all broke a bound, the last one by {reason}; loosen the "
            "bound, or narrow the space to what keeps it"
        )

    def tell(
        self,
        trial_id: int,
        values: Mapping[str, float],
        *,
        curve: Mapping[int, Mapping[str, float]] | None = None,
        epoch: int | None = None,
        finished: bool = False,
        deviations: Mapping[str, float] | None = None,
        measurements: Mapping[str, float] | None = None,
        seconds: float = 0.0,
    ) -> None:
        """Record what came of a proposal; it is on the disk when this returns.

        A value that is not finite makes it a failure, as a training that has diverged. A constraint that is measured
        or exact rejects the trial where its bound is broken; one that is trained makes a full training infeasible.

        Args:
            trial_id: Of the proposal.
            values: The objectives and constraints in their own units, by name. Exact ones that `Problem.exact` gives
                may be left out; so may constraints, but for a full training or one that ended by itself.
            curve: The same after each epoch that was trained for this proposal; constraints may be left out.
            epoch: The last epoch that was trained, where the training ended by itself before the proposal's.
            finished: Whether the training ended by itself, so that it cannot be continued; needed for such an `epoch`.
            deviations: Standard deviations of noisy values, by the objective's name.
            measurements: Further values by name, for the table.
            seconds: That it took.

        Raises:
            UnknownNameError: For a name that is none of the objectives' or constraints'.
            InvalidArgumentError: If the trial is not pending, or a value is none.
            StoreError: If it cannot be recorded; it is still pending then.
        """
        proposal = self._proposal(trial_id)
        evaluation = told(
            proposal,
            self.problem,
            values,
            curve=curve,
            epoch=epoch,
            finished=check_bool("finished", finished),
            deviations=deviations,
            measurements=measurements,
            seconds=seconds,
        )
        self._record(evaluation)

    def fail(self, trial_id: int, reason: str, *, status: Status = Status.ERROR, epoch: int | None = None) -> None:
        """Record that a proposal failed: the algorithm keeps away from it.

        Args:
            trial_id: Of the proposal.
            reason: One line why.
            status: How it ended; `Status.REJECTED` if a bound was broken before anything was trained.
            epoch: The last epoch that was trained; default: none of this proposal's.

        Raises:
            InvalidArgumentError: If the trial is not pending, or an argument is none.
            StoreError: If it cannot be recorded; it is still pending then.
        """
        proposal = self._proposal(trial_id)
        self._record(failed(proposal, self.problem, reason, status=status, epoch=epoch))

    def add(self, config: Mapping[str, Any]) -> None:
        """Let a configuration be among the next that are proposed; what it leaves out has the space's defaults.

        It is left out if a trial of it exists.

        Raises:
            UnknownNameError: For a name that is not in the space.
            InvalidArgumentError: If it is not in the space.
            StoreError: If it cannot be recorded.
        """
        whole = completed(config, self.algorithm.encoding, "'config'")
        if not self.algorithm.seen(whole):
            self._store.add(whole, elapsed=self._elapsed())
            self.algorithm.enqueue(whole)

    @property
    def trials(self) -> Sequence[Trial]:
        """All that is known of every trial, by its id; what `proposal.parent` is."""
        return tuple(self.algorithm.trials)

    @property
    def pending(self) -> tuple[Proposal, ...]:
        """What was asked for and is not told yet, in order."""
        return tuple(self._pending.values())

    @property
    def epochs(self) -> float:
        """Epochs that were spent, or will be when all that was given out is told.

        What is to be given out again counts when it is, so that a loop that ends by this ends as if never interrupted.
        """
        return self.algorithm.epochs_committed - sum(map(self.algorithm.problem.cost, self._again))

    @property
    def full_trainings(self) -> float:
        """The same, in full trainings."""
        return self.epochs / self.problem.max_epochs

    @property
    def result(self) -> StudyResult:
        """What was found so far: front, table, pictures."""
        return StudyResult(self.problem, self._store.events(), directory=self.directory)

    def close(self) -> None:
        """Let go of the directory. May be called twice."""
        self._store.close()

    def __enter__(self) -> Study:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _new(self, full_trainings_left: float) -> Proposal | None:
        """What the algorithm proposes, recorded."""
        epochs_left = full_trainings_left * self.problem.max_epochs
        proposal = self.algorithm.peek(epochs_left=epochs_left)
        if proposal is not None:
            self._store.ask(proposal, elapsed=self._elapsed())
            self.algorithm.register(proposal)
            self._pending[proposal.trial_id] = proposal
        return proposal

    def _proposal(self, trial_id: int) -> Proposal:
        is_whole = isinstance(trial_id, int) and not isinstance(trial_id, bool)
        proposal = self._pending.get(trial_id) if is_whole else None
        if proposal is None:
            raise InvalidArgumentError(
                f"'trial_id' is {shown(trial_id)}, which is not pending; pending: {[*self._pending]}"
            )
        return proposal

    def _record(self, evaluation: Evaluation) -> None:
        self._store.tell(evaluation, elapsed=self._elapsed())
        self.algorithm.tell(evaluation)
        del self._pending[evaluation.trial_id]

    def _elapsed(self) -> float:
        return self._seconds_before + time.monotonic() - self._opened
