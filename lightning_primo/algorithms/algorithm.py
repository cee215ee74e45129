"""The contract of every algorithm: `start`, then `ask` and `tell` in any interleaving.

```python
algorithm.start(problem, seed=0)
while budget_is_left:
    proposal = algorithm.ask()
    algorithm.tell(evaluate(proposal))     # failed ones are told like any other
```

Randomness is a function of the seed and of the number of asks alone, the state one of what was asked and told; a
proposal follows from these, and from what may still be spent. So a search that is restored from its log (`restore`)
goes on exactly as if it had never been interrupted, without repeating any of the work that led to the proposals.

An algorithm may leave a part of its search to another one: it starts that one too, takes proposals from its `propose`,
and passes on by `register` and `tell` what has become of them.

A configuration that was enqueued takes the place of the next one that the algorithm begins a training with. A result
that is known already (`Origin.KNOWN`) is registered and told, and spends nothing; `_learned` says what is made of it.
"""

from __future__ import annotations

import inspect
import math
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from lightning_primo.algorithms.parts.encoded_trials import EncodedTrials
from lightning_primo.algorithms.parts.feasibility import Feasibility
from lightning_primo.errors import InvalidArgumentError
from lightning_primo.problem import Problem
from lightning_primo.problem.trial import Config, Evaluation, Origin, Proposal, Trial
from lightning_primo.space import Encoding
from lightning_primo.surrogates.one_thread import one_thread


class Algorithm(ABC):
    """Proposes which configuration to train, and for how many epochs.

    A subclass takes its hyperparameters in its constructor, keyword-only, and keeps each under its own name. It
    implements `propose`, which must not change any state, and where it keeps state of its own updates it in
    `_registered` and `_told`, which also run when a search is restored.
    """

    problem: Problem
    encoding: Encoding
    feasibility: Feasibility
    seed: int
    epochs_left: float = math.inf  # that may still be spent, as whoever asked last knows
    timed = False  # whether it is a time that may still be spent, of which these epochs are a guess

    def start(self, problem: Problem, *, seed: int = 0) -> None:
        """Forget everything and begin with a new problem.

        Args:
            problem: What is searched.
            seed: All randomness follows from it.

        Raises:
            InvalidArgumentError: Where the algorithm's hyperparameters do not fit the problem.
        """
        self.problem = problem
        self.encoding = Encoding(problem.space)
        self.feasibility = Feasibility(problem)
        self.seed = seed
        self.n_asked = 0
        self.epochs_committed = 0.0
        self.trials: list[Trial] = []
        self._pending: dict[int, float] = {}  # trial to the epochs that were committed for it
        self._queue: list[tuple[str, Config]] = []
        self._encoded = EncodedTrials(self.encoding, self.trials, problem.max_epochs)

    def ask(self, *, epochs_left: float = math.inf, timed: bool = False) -> Proposal | None:
        """The next proposal; None if there is none until a pending one is told, or, with none pending, any more.

        Args:
            epochs_left: That may still be spent: some algorithms end with what they have begun. Default: nobody knows.
            timed: Whether the budget is a time: some then go by what a training is worth per second.
        """
        proposal = self.peek(epochs_left=epochs_left, timed=timed)
        if proposal is not None:
            self.register(proposal)
        return proposal

    def peek(self, *, epochs_left: float = math.inf, timed: bool = False) -> Proposal | None:
        """What `ask` returns, without taking note of it."""
        self.epochs_left, self.timed = epochs_left, timed
        with one_thread():
            proposal = self.propose(np.random.default_rng([self.seed, self.n_asked]))
        config = next(iter(self.queue), None)
        if config is None:
            return proposal
        if proposal is None:  # what a grid does not hold, or a sampler did not find
            proposal = None if self._pending else self.new_trial(config, self.problem.max_epochs)
        elif proposal.trial_id < len(self.trials) or proposal.start_epoch:
            return proposal
        elif proposal.inherits:  # what is given has no parent, and begins with weights of its own
            proposal = self.new_trial(config, self.problem.max_epochs)
        return proposal and replace(proposal, config=dict(config), parent=None, prior=None, origin=Origin.GIVEN)

    def enqueue(self, config: Config) -> None:
        """Let a configuration take the place of the next one that `ask` begins a training with.

        Those that wait come in the order in which they were enqueued; one that a trial has is left out. What is
        proposed is a function of what was ever enqueued and of the trials, whenever it was enqueued.

        Args:
            config: The active hyperparameters.

        Raises:
            UnknownNameError: If it has a hyperparameter that is not in the space.
            InvalidArgumentError: If it is not in the space.
        """
        self._queue.append((self.encoding.key(config), config))

    @property
    def queue(self) -> list[Config]:
        """The configurations that were enqueued and that no trial has yet."""
        if not self._queue:
            return []
        unseen = set(self.unseen(key for key, _ in self._queue))
        self._queue = [(key, config) for key, config in self._queue if key in unseen]
        return [config for _, config in self._queue]

    @abstractmethod
    def propose(self, rng: np.random.Generator) -> Proposal | None:
        """What `ask` returns, without taking note of it: a pure function of the state and `rng`."""

    def register(self, proposal: Proposal) -> None:
        """Take note that a proposal is being evaluated."""
        if proposal.trial_id == len(self.trials):
            self.trials.append(Trial.begun_by(proposal))
        else:
            self.trials[proposal.trial_id] = replace(self.trials[proposal.trial_id], pending=proposal.epoch)
        self._pending[proposal.trial_id] = committed = self.problem.cost(proposal)
        if proposal.origin is Origin.KNOWN:
            return
        self.n_asked += 1
        self.epochs_committed += committed
        self._registered(proposal)

    def tell(self, evaluation: Evaluation) -> None:
        """Take in what came of a proposal, whatever its status.

        Raises:
            InvalidArgumentError: If the trial is unknown or not pending.
        """
        known = 0 <= evaluation.trial_id < len(self.trials)
        trial = self.trials[evaluation.trial_id] if known else None
        if trial is None or trial.pending is None:
            raise InvalidArgumentError(
                f"'evaluation' is of trial {evaluation.trial_id}, which is not pending; "
                f"pending: {[t.id for t in self.pending]}"
            )
        target, committed = trial.pending, self._pending.pop(trial.id)
        self.trials[trial.id] = replace(trial, evaluations=(*trial.evaluations, evaluation), pending=None)
        self.feasibility.add(self.trials[trial.id])
        if trial.known:
            self._learned(self.trials[trial.id])
            return
        self.epochs_committed += evaluation.cost - committed
        self._told(self.trials[trial.id], target, evaluation)

    def restore(self, events: Iterable[Proposal | Evaluation]) -> None:
        """Replay what was asked and told in an earlier process, in the order in which it happened."""
        for event in events:
            if isinstance(event, Proposal):
                self.register(event)
            else:
                self.tell(event)
        self._encoded.bring_up_to_date()

    def may_continue(self, trial: Trial) -> bool:
        """Whether a later proposal may continue this trial or start from its weights, so that these have to be kept.

        Args:
            trial: One that was told and is not pending.
        """
        last = trial.evaluations[-1]
        return not trial.known and last.ok and not last.finished and last.epoch < self.problem.max_epochs

    def may_fork(self, trial: Trial, epoch: int) -> bool:
        """Whether a later proposal may take over this trial's training as it was after `epoch` epochs.

        Its checkpoint of that epoch is then kept while the trial itself goes on.

        Args:
            trial: One that was trained to `epoch`; it may be pending.
            epoch: Fewer than the full budget.
        """
        return False

    @property
    def planned_epochs(self) -> float:
        """The total number of epochs that it plans with; one that ends earlier has done only a part. 0: any will do."""
        return 0.0

    @property
    def n_known(self) -> int:
        """How many trials have a result that was known already."""
        return sum(trial.known for trial in self.trials)

    @property
    def pending(self) -> list[Trial]:
        """The trials that are being trained now."""
        return [self.trials[trial_id] for trial_id in sorted(self._pending)]

    def seen(self, config: Config) -> bool:
        """Whether a trial of this configuration exists; one that is known below the full budget alone is none."""
        return not self.unseen([self.encoding.key(config)])

    def unseen(self, keys: Iterable[str]) -> list[str]:
        """Those of some configurations' keys that no trial has, each once."""
        return self._encoded.unseen(keys)

    def vectors(self, trials: Iterable[Trial]) -> npt.NDArray[np.float64]:
        """The vectors of some trials' configurations, `n x h`."""
        return self._encoded.vectors(trials)

    def new_trial(
        self, config: Config, epoch: int, *, operation: str = "sample", parent: int | None = None
    ) -> Proposal:
        """A proposal that trains a new configuration up to `epoch`."""
        return Proposal(trial_id=len(self.trials), config=config, epoch=epoch, operation=operation, parent=parent)

    def known_trial(self, config: Config, epoch: int) -> Proposal:
        """What stands for the training of a result that is known already; it is registered, and told at once."""
        return replace(self.new_trial(config, epoch, operation=Origin.KNOWN.value), origin=Origin.KNOWN)

    def fork(self, trial: Trial, start_epoch: int, config: Config, epoch: int, *, operation: str) -> Proposal:
        """A proposal that takes over the training of a trial as it was after `start_epoch` epochs.

        It goes on as a new trial with another configuration.

        Args:
            trial: Whose training is taken over.
            start_epoch: An epoch to which it was proposed and trained.
            config: What differs must leave the weights as they are, in number and shape.
            epoch: Train up to this epoch.
            operation: How the configuration came about.
        """
        return Proposal(
            trial_id=len(self.trials),
            config=config,
            epoch=epoch,
            start_epoch=start_epoch,
            parent=trial.id,
            operation=operation,
            inherits=True,
        )

    def promotion(self, trial_id: int, epoch: int) -> Proposal:
        """A proposal that continues a trial up to `epoch`, or trains it anew where trainings do not go on."""
        trial = self.trials[trial_id]
        return Proposal(
            trial_id=trial_id,
            config=trial.config,
            epoch=epoch,
            start_epoch=trial.epoch if self.problem.unit.continues else 0,
            parent=trial.parent,
            operation=trial.operation,
        )

    def _registered(self, proposal: Proposal) -> None:  # noqa: B027 - not every algorithm keeps state of its own
        """Take note of a proposal of one's own."""

    def _told(self, trial: Trial, target: int, evaluation: Evaluation) -> None:  # noqa: B027
        """Take note of an evaluation.

        Args:
            trial: The trial, with `evaluation` as its last.
            target: The epoch up to which it was proposed to train.
            evaluation: What came back.
        """

    def _learned(self, trial: Trial) -> None:  # noqa: B027
        """Take note of a result that was known already; `trials` has it, of which models learn.

        Args:
            trial: It is not to be continued, nor are its weights there to begin with.
        """

    def __repr__(self) -> str:
        names = inspect.signature(type(self).__init__).parameters
        arguments = ", ".join(f"{name}={_describe(getattr(self, name))}" for name in names if name != "self")
        return f"{type(self).__name__}({arguments})"


def _describe(argument: object) -> str:
    return argument.__qualname__ if inspect.isfunction(argument) else repr(argument)
