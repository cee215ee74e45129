"""Ax by its `Client`, with its default generation strategy.

Ax gets conditional spaces flat: it proposes a value for every hyperparameter, and inactive ones are dropped.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
from ax.api.client import Client
from ax.api.configs import ChoiceParameterConfig, RangeParameterConfig
from ax.utils.common.logger import set_stderr_log_level
from ConfigSpace.hyperparameters import (
    CategoricalHyperparameter,
    Hyperparameter,
    UniformFloatHyperparameter,
    UniformIntegerHyperparameter,
)

from benchmarks.comparison.peer import is_active
from lightning_primo.problem import Problem
from lightning_primo.problem.trial import Config

_KINDS = {bool: "bool", int: "int", float: "float", str: "str"}


class AxPeer:
    """A client that is asked and told; configurations to begin with are attached as its first trials.

    Args:
        problem: What is searched. Its reference points become Ax's thresholds.
        centers: Configurations to begin with; what they leave open has its default.
        seed: Of the client.

    Raises:
        TypeError: If the space has what is not translated: forbidden clauses, other kinds of hyperparameters.
    """

    def __init__(self, problem: Problem, centers: Sequence[Config], seed: int) -> None:
        set_stderr_log_level(logging.ERROR)
        self._space = problem.space
        if self._space.forbidden_clauses:
            raise TypeError("Ax has nothing to translate forbidden clauses to")
        defaults = {name: self._space[name].default_value for name in self._space}
        self._centers = [{**defaults, **center} for center in reversed(centers)]
        self._client = Client(random_seed=seed)
        self._client.configure_experiment(parameters=[_parameter(self._space[name]) for name in self._space])
        self._outcomes = [f"loss_{j}" for j in range(len(problem.objectives))]
        bounds = zip(self._outcomes, problem.scaled_reference.tolist(), strict=True)
        self._client.configure_optimization(
            objective=", ".join(f"-{name}" for name in self._outcomes),
            outcome_constraints=[f"{name} <= {bound!r}" for name, bound in bounds if np.isfinite(bound)],
        )

    def propose(self) -> Config:
        """The next of the configurations to begin with, then the client's next trial."""
        if self._centers:
            values: dict[str, Any] = self._centers.pop()
            self._trial = self._client.attach_trial(parameters=values)
        else:
            ((self._trial, proposed),) = self._client.get_next_trials(max_trials=1).items()
            values = dict(proposed)
        config: dict[str, Any] = {}
        for name in self._space:
            if is_active(self._space, name, config):
                config[name] = values[name]
        return config

    def told(self, losses: Sequence[float]) -> None:
        """End the trial that was proposed last."""
        self._client.complete_trial(self._trial, raw_data=dict(zip(self._outcomes, losses, strict=True)))


def _parameter(parameter: Hyperparameter[Any, Any]) -> Any:
    if isinstance(parameter, (UniformFloatHyperparameter, UniformIntegerHyperparameter)):
        return RangeParameterConfig(
            name=parameter.name,
            bounds=(parameter.lower, parameter.upper),
            parameter_type="float" if isinstance(parameter, UniformFloatHyperparameter) else "int",
            scaling="log" if parameter.log else "linear",
        )
    if isinstance(parameter, CategoricalHyperparameter):
        values = list(parameter.choices)
        kind: Any = _KINDS[type(values[0])]
        return ChoiceParameterConfig(name=parameter.name, values=values, parameter_type=kind, is_ordered=False)
    raise TypeError(f"hyperparameter {parameter.name!r} is a {type(parameter).__name__}, which is not translated")
