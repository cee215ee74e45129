"""Trials of known functions, to see what is said of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from ConfigSpace import Categorical, ConfigurationSpace, EqualsCondition, Float

from lightning_primo.problem import Problem
from lightning_primo.problem.objective import Kind, Objective
from lightning_primo.problem.trial import Evaluation, Trial
from lightning_primo.space import Encoding

EXACT = Objective(name="cost", kind=Kind.EXACT)


def cube(n: int) -> ConfigurationSpace:
    """`n` floats in [0, 1]."""
    space = ConfigurationSpace(seed=0)
    space.add(*(Float(f"x{i}", (0.0, 1.0)) for i in range(n)))
    return space


def switched() -> ConfigurationSpace:
    """A float that is active where a switch is on."""
    space = ConfigurationSpace(seed=0)
    switch, level = Categorical("switch", ["off", "on"]), Float("level", (0.0, 1.0))
    space.add(switch, level)
    space.add(EqualsCondition(level, switch, "on"))
    return space


def problem_on(space: ConfigurationSpace, *objectives: Objective, max_epochs: int = 9) -> Problem:
    return Problem(space=space, objectives=objectives or (EXACT,), max_epochs=max_epochs)


def trials_of(
    problem: Problem, losses: Callable[[Any], Sequence[float]], n: int, *, epoch: int | None = None, seed: int = 0
) -> list[Trial]:
    """`n` trials of random configurations, trained to `epoch`, by default the full budget."""
    encoding = Encoding(problem.space)
    reached = problem.max_epochs if epoch is None else epoch
    configs = encoding.configs(encoding.sample(n, np.random.default_rng(seed)))
    return [
        Trial(
            id=i,
            config=config,
            evaluations=(Evaluation(trial_id=i, epoch=reached, losses=tuple(losses(config)), cost=float(reached)),),
        )
        for i, config in enumerate(configs)
    ]
