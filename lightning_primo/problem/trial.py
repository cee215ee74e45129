"""The values that travel between algorithm, training and store: `Proposal` out, `Evaluation` back, `Trial` kept.

All are frozen and made of plain Python numbers and strings, so that they pass through JSON and pickle unchanged.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum

from lightning_primo.errors import InvalidArgumentError
from lightning_primo.problem.place import Place

Config = Mapping[str, "int | float | bool | str"]
"""The active hyperparameters of one configuration, by name."""

REPLICATES = "replicates"
"""The measurement that says how many replicates (seeds, folds) a trial's values are the means of."""

Losses = tuple[float, ...]
"""One minimised value per objective, in the problem's order; NaN where it is not known."""


class Status(str, Enum):
    """How an evaluation ended."""

    OK = "ok"
    REJECTED = "rejected"
    """A bound was broken; nothing was trained."""
    DIVERGED = "diverged"
    """The loss or a metric became NaN or infinite."""
    OUT_OF_MEMORY = "out_of_memory"
    TIMEOUT = "timeout"
    CRASHED = "crashed"
    """The worker's process died."""
    ERROR = "error"
    """The user's code raised an exception."""
    STOPPED = "stopped"
    """The user has ended it."""

    @property
    def failed(self) -> bool:
        """Whether the trial is lost; a rejected one is not counted, as nothing was tried."""
        return self not in (Status.OK, Status.REJECTED)


class Origin(str, Enum):
    """Who decided that there is a trial of a configuration."""

    ALGORITHM = "algorithm"
    GIVEN = "given"
    """The user: it takes the place of the one that the algorithm would have begun with then."""
    KNOWN = "known"
    """The user, who also knows what comes of it: nothing is trained, and nothing of the budget spent."""


@dataclass(frozen=True, kw_only=True)
class Proposal:
    """Train trial `trial_id` up to epoch `epoch`.

    Here and in evaluations and trials an *epoch* is a level of the problem's fidelity (`Problem.fidelity`): an epoch of
    training, so many optimiser steps, or a fraction of the data.

    Args:
        trial_id: Number of the trial, from 0. A promotion carries the id of the trial it continues.
        config: The active hyperparameters.
        epoch: Train up to this epoch, counted from 1.
        start_epoch: Epochs that are trained already, and that it goes on from: by the trial itself, or of a new one by
            its parent, whose training it takes over there. 0 where a training begins anew at each level
            (`Fidelity.continues`), so that a promotion costs all of its level.
        parent: The trial that this one was derived from, where there is one.
        operation: How the configuration came about, for the table: ``"sample"``, ``"bayesian"``, ``"mutation"``, …
        inherits: Whether the training starts from the parent's: from its weights, changed by `operation`, where
            `start_epoch` is 0; else from all that its checkpoint of that epoch holds, with another configuration.
        final: Whether the trial is fully trained at `epoch`, though that may be less than the full budget: its result
            counts as one of the full budget, and it is not continued.
        origin: Who decided on it. One that is `Origin.KNOWN` is not carried out; its evaluation follows at once.
        prior: The objective whose expert prior weighted the choice of the configuration; None for none.
    """

    trial_id: int
    config: Config
    epoch: int
    start_epoch: int = 0
    parent: int | None = None
    operation: str = "sample"
    inherits: bool = False
    final: bool = False
    origin: Origin = Origin.ALGORITHM
    prior: str | None = None

    @property
    def epochs(self) -> int:
        """What the proposal costs, in epochs of training."""
        return self.epoch - self.start_epoch


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """What came back from a proposal.

    Args:
        trial_id: The trial.
        epoch: The last epoch that was trained. Equals the proposal's epoch if `status` is ok, except where the
            training ended by itself earlier (early stopping).
        losses: One minimised value per objective, NaN where unknown. If `status` is not ok, those that are known
            all the same (the parameter count of a network that diverged) are kept.
        status: How it ended.
        reason: One line why, if `status` is not ok; for `Status.ERROR` the traceback too.
        signature: What evaluations that failed by the same mistake have in common, such as the type of an exception and
            the line that raised it; empty where there is nothing to tell them by.
        curve: Losses after each epoch trained for this proposal: ``{epoch: losses}``.
        measurements: Further values by name, in their own unit, for the table: constraints, quartiles of a latency,
            hyperparameters that a callback has tuned during the training.
        constraints: Values of the trained constraints after each epoch of `curve`: ``{epoch: {name: value}}``.
        deviations: Standard deviations of measured values that are noisy, in their own unit, by the objective's name.
        measured_on: Where and how values were measured, by the objective's name; only such as were measured on the
            same device are comparable (`same_place`).
        cost: Epochs trained for this proposal; 0 if rejected.
        seconds: Wall-clock seconds of this proposal.
        measuring: Of these, those in which costs were measured, with the building of the module for that.
        finished: Whether the training ended before `R`, by itself or as it was proposed to, so that the trial cannot be
            continued.
        given_up: Whether it was clearly bad before all its replicates (seeds, folds) were trained, so that its losses
            are the means of some of them: models learn from it, but it is never on the front.
    """

    trial_id: int
    epoch: int
    losses: Losses
    status: Status = Status.OK
    reason: str = ""
    signature: str = ""
    curve: Mapping[int, Losses] = field(default_factory=dict)
    measurements: Mapping[str, float] = field(default_factory=dict)
    constraints: Mapping[int, Mapping[str, float]] = field(default_factory=dict)
    deviations: Mapping[str, float] = field(default_factory=dict)
    measured_on: Mapping[str, Place] = field(default_factory=dict)
    cost: float = 0.0
    seconds: float = 0.0
    measuring: float = 0.0
    finished: bool = False
    given_up: bool = False

    @property
    def ok(self) -> bool:
        """Whether the losses are all known and finite."""
        return self.status is Status.OK and all(math.isfinite(loss) for loss in self.losses)

    def counts_at(self, epoch: int) -> bool:
        """Whether this is a successful result of training up to `epoch`, or of one that ended by itself before."""
        return self.ok and (self.epoch == epoch or (self.finished and self.epoch < epoch))


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One configuration and what is known about it.

    Args:
        id: Number of the trial, from 0.
        config: The active hyperparameters.
        parent: The trial that this one was derived from, where there is one.
        operation: How the configuration came about.
        start_epoch: Epochs of its parent's training that it has taken over; 0 where its training is all its own.
        inherits: Whether its training began with its parent's weights.
        origin: Who decided that there is this trial.
        prior: The objective whose expert prior weighted the choice of the configuration; None for none.
        evaluations: What was told so far, in order.
        pending: The epoch up to which it is being trained now, or None.
    """

    id: int
    config: Config
    parent: int | None = None
    operation: str = "sample"
    start_epoch: int = 0
    inherits: bool = False
    origin: Origin = Origin.ALGORITHM
    prior: str | None = None
    evaluations: tuple[Evaluation, ...] = ()
    pending: int | None = None

    @classmethod
    def begun_by(cls, proposal: Proposal) -> Trial:
        """The new trial of a proposal, which is pending."""
        return cls(
            id=proposal.trial_id,
            config=dict(proposal.config),
            parent=proposal.parent,
            operation=proposal.operation,
            start_epoch=proposal.start_epoch,
            inherits=proposal.inherits,
            origin=proposal.origin,
            prior=proposal.prior,
            pending=proposal.epoch,
        )

    @property
    def known(self) -> bool:
        """Whether its result was there already, so that it was not trained here and has no weights."""
        return self.origin is Origin.KNOWN

    def takes_its_configuration(self, max_epochs: int) -> bool:
        """Whether no other trial may have this configuration; one that is known below the full budget leaves it.

        Args:
            max_epochs: The full budget.
        """
        return not self.known or self.at(max_epochs) is not None

    @property
    def epoch(self) -> int:
        """Epochs trained successfully so far, with those that were taken over."""
        reached = (evaluation.epoch for evaluation in self.evaluations if evaluation.ok)
        return max(reached, default=self.start_epoch)

    @property
    def status(self) -> Status | None:
        """Status of the last evaluation; None before the first."""
        return self.evaluations[-1].status if self.evaluations else None

    @property
    def cost(self) -> float:
        """Epochs trained over all evaluations."""
        return sum(evaluation.cost for evaluation in self.evaluations)

    def at(self, epoch: int) -> Evaluation | None:
        """The successful evaluation at `epoch`; one that ended by itself earlier counts for every later epoch."""
        return next((evaluation for evaluation in self.evaluations if evaluation.counts_at(epoch)), None)


def fold_events(events: Iterable[Proposal | Evaluation]) -> list[Trial]:
    """The trials that a log of proposals and evaluations amounts to.

    Args:
        events: What was asked and told, in the order in which it happened.

    Returns:
        One trial per id, in the order in which they were first proposed.

    Raises:
        InvalidArgumentError: If an evaluation belongs to no trial that is pending at its place.
    """
    trials: dict[int, Trial] = {}
    for event in events:
        trial = trials.get(event.trial_id)
        if isinstance(event, Evaluation):
            if trial is None or trial.pending is None:
                raise InvalidArgumentError(
                    f"'events' holds an evaluation of trial {event.trial_id}, which is not pending there; pending: "
                    f"{[pending.id for pending in trials.values() if pending.pending is not None]}"
                )
            trials[trial.id] = replace(trial, evaluations=(*trial.evaluations, event), pending=None)
        elif trial is None:
            trials[event.trial_id] = Trial.begun_by(event)
        else:
            trials[trial.id] = replace(trial, pending=event.epoch)
    return list(trials.values())


def lineage(trials: Sequence[Trial], trial: Trial) -> tuple[Trial, ...]:
    """The trials whose trainings make up the one of `trial`: from the one that began it to `trial` itself.

    Args:
        trials: All of a search, in the order of their ids.
        trial: One of them.
    """
    line = [trial]
    while line[-1].start_epoch > 0 and line[-1].parent is not None:
        line.append(trials[line[-1].parent])
    return tuple(reversed(line))


def schedule(line: Sequence[Trial]) -> dict[int, Config]:
    """The configurations of a training by the number of epochs after which each holds; the first one from 0 on.

    Args:
        line: The training's `lineage`.
    """
    return {trial.start_epoch: trial.config for trial in line}


def configuration_key(config: Config) -> str:
    """One text per configuration, whatever the order of its entries."""
    return json.dumps(dict(config), sort_keys=True)
