"""A problem without trainings for the tests of studies: values are closed forms."""

from __future__ import annotations

import math
from typing import Any

from ConfigSpace import Categorical, ConfigurationSpace, EqualsCondition, Float, Integer

from lightning_primo.problem import Problem
from lightning_primo.problem.objective import Kind, Objective
from lightning_primo.problem.trial import Config, Proposal


def make_space(*, upper: float = 1.0, more: bool = False) -> ConfigurationSpace:
    """lr, width, and dropout where it is used; `more` has another hyperparameter."""
    space = ConfigurationSpace(seed=0)
    dropout, uses = Float("dropout", (0.1, 0.9), default=0.2), Categorical("uses", [True, False], default=False)
    space.add(Float("lr", (1e-4, upper), log=True, default=1e-2), Integer("width", (1, 64), default=8), uses, dropout)
    space.add(EqualsCondition(dropout, uses, True))
    if more:
        space.add(Float("decay", (0.0, 0.5), default=0.0))
    return space


def make_problem(*, exact: bool = True, max_epochs: int = 9, **changes: Any) -> Problem:
    """An error, and a size that is exact or told."""
    size = Objective(name="size", kind=Kind.EXACT if exact else Kind.TRAINED)
    arguments: dict[str, Any] = {
        "space": make_space(),
        "objectives": (Objective(name="error"), size),
        "max_epochs": max_epochs,
        "exact": (lambda config: {"size": float(config["width"])}) if exact else (lambda config: {}),
    }
    return Problem(**{**arguments, **changes})


def error(config: Config, epoch: int) -> float:
    """Falls with the epoch and towards a learning rate of 0.01."""
    return (math.log10(float(config["lr"])) + 2) ** 2 + 1 / epoch + 1 / float(config["width"])


def values(proposal: Proposal) -> dict[str, float]:
    return {"error": error(proposal.config, proposal.epoch)}


def curve(proposal: Proposal) -> dict[int, dict[str, float]]:
    epochs = range(proposal.start_epoch + 1, proposal.epoch + 1)
    return {epoch: {"error": error(proposal.config, epoch)} for epoch in epochs}
