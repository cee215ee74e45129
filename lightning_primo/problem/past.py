"""An earlier search, as one that learns from it sees it: configurations and what came of them, in the user's units."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from lightning_primo.checks import shown
from lightning_primo.errors import InvalidArgumentError
from lightning_primo.problem.problem import Problem
from lightning_primo.problem.trial import Config

_REMEDY = "write learn_from=[read_result('runs/earlier')]"


class FoundTrial(Protocol):
    """A trial of a search's result."""

    @property
    def config(self) -> Config:
        """The active hyperparameters."""

    @property
    def curve(self) -> Mapping[int, Mapping[str, float]]:
        """The objectives' values by name after each epoch."""

    @property
    def values(self) -> Mapping[str, float]:
        """The objectives' values by name."""

    @property
    def schedule(self) -> Mapping[int, Config]:
        """Its configurations by the epochs after which each held; one, unless it took over another one's training."""

    @property
    def trained_fully(self) -> bool:
        """Whether they are those of a full training."""


class Found(Protocol):
    """What a search found, such as a `Result`."""

    @property
    def problem(self) -> Problem:
        """What was searched."""

    @property
    def trials(self) -> Sequence[FoundTrial]:
        """What was tried."""


@dataclass(frozen=True)
class PastTrial:
    """One configuration of an earlier search.

    Attributes:
        config: The active hyperparameters.
        curve: The objectives' values by name after each epoch.
        final: Those of its full training; None where it had none.
    """

    config: Config
    curve: Mapping[int, Mapping[str, float]]
    final: Mapping[str, float] | None


@dataclass(frozen=True)
class PastSearch:
    """An earlier search on a related task.

    Attributes:
        n_trials: How many trials it has.
        digest: Of what they are, by which a search that is resumed knows that it learns from the same past.
        objectives: Names of its objectives.
        trials: The trials.
    """

    n_trials: int
    digest: str
    objectives: tuple[str, ...] = field(repr=False)
    trials: tuple[PastTrial, ...] = field(repr=False)

    @classmethod
    def of(cls, found: Found) -> PastSearch:
        """What there is to learn from a result: of trials that had one configuration all along."""
        trials = tuple(
            PastTrial(dict(trial.config), dict(trial.curve), dict(trial.values) if trial.trained_fully else None)
            for trial in found.trials
            if len(trial.schedule) < 2
        )
        told = json.dumps([[t.config, t.final, sorted(t.curve.items())] for t in trials], sort_keys=True, default=repr)
        names = tuple(objective.name for objective in found.problem.objectives)
        return cls(len(trials), hashlib.sha256(told.encode()).hexdigest()[:16], names, trials)


def past_searches(learn_from: Any) -> tuple[PastSearch, ...]:
    """What there is to learn from several results.

    Args:
        learn_from: A list of `Result` or of what has its `problem` and `trials`; a PastSearch is taken as it is.

    Raises:
        InvalidArgumentError: If it is no such list.
    """
    if not isinstance(learn_from, (list, tuple)):
        raise InvalidArgumentError(f"'learn_from' must be a list of results, got {shown(learn_from)}; {_REMEDY}")
    return tuple(_past_search(found) for found in learn_from)


def _past_search(found: Any) -> PastSearch:
    if isinstance(found, PastSearch):
        return found
    if not isinstance(getattr(found, "problem", None), Problem) or not hasattr(found, "trials"):
        raise InvalidArgumentError(f"'learn_from' must hold results of earlier searches, got {shown(found)}; {_REMEDY}")
    return PastSearch.of(found)
