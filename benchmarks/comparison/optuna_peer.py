"""Optuna's samplers. Conditions are translated to its define-by-run: what is inactive is not suggested."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import optuna
from ConfigSpace import ConfigurationSpace
from ConfigSpace.hyperparameters import (
    CategoricalHyperparameter,
    Hyperparameter,
    UniformFloatHyperparameter,
    UniformIntegerHyperparameter,
)
from optuna.samplers import BaseSampler, GPSampler, NSGAIISampler, TPESampler

from benchmarks.comparison.peer import is_active
from lightning_primo.problem import Problem
from lightning_primo.problem.trial import Config

_POPULATION = 8  # of Optuna's 50 the first generation would be all that is trained

SAMPLERS: dict[str, Callable[[int], BaseSampler]] = {
    # It models what all trials so far have in common; conditional hyperparameters are random.
    "optuna-gp": lambda seed: GPSampler(seed=seed, warn_independent_sampling=False),
    # Groups: hyperparameters that are active together are modelled together.
    "optuna-tpe": lambda seed: TPESampler(seed=seed, multivariate=True, group=True, warn_independent_sampling=False),
    "optuna-nsga2": lambda seed: NSGAIISampler(seed=seed, population_size=_POPULATION),
}
"""From a seed to a sampler, with Optuna's defaults for all that is not given."""


class OptunaPeer:
    """A study that is asked and told; configurations to begin with are enqueued.

    Args:
        problem: What is searched.
        centers: Configurations to begin with.
        sampler: Of the study.
    """

    def __init__(self, problem: Problem, centers: Sequence[Config], sampler: BaseSampler) -> None:
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._space = problem.space
        self._study = optuna.create_study(directions=["minimize"] * len(problem.objectives), sampler=sampler)
        for center in centers:
            self._study.enqueue_trial(dict(center))

    def propose(self) -> Config:
        """The study's next trial."""
        self._trial = self._study.ask()
        return suggest(self._trial, self._space)

    def told(self, losses: Sequence[float]) -> None:
        """End the trial that was proposed last."""
        self._study.tell(self._trial, losses)


def suggest(trial: optuna.trial.BaseTrial, space: ConfigurationSpace) -> Config:
    """The active hyperparameters of a trial, from parents to children.

    Raises:
        TypeError: If the space has what Optuna has not: forbidden clauses, other kinds of hyperparameters.
    """
    if space.forbidden_clauses:
        raise TypeError("Optuna has nothing to translate forbidden clauses to")
    config: dict[str, Any] = {}
    for name in space:
        if is_active(space, name, config):
            config[name] = _suggest(trial, space[name])
    return config


def _suggest(trial: optuna.trial.BaseTrial, parameter: Hyperparameter[Any, Any]) -> Any:
    if isinstance(parameter, UniformFloatHyperparameter):
        return trial.suggest_float(parameter.name, parameter.lower, parameter.upper, log=parameter.log)
    if isinstance(parameter, UniformIntegerHyperparameter):
        return trial.suggest_int(parameter.name, parameter.lower, parameter.upper, log=parameter.log)
    if isinstance(parameter, CategoricalHyperparameter):
        return trial.suggest_categorical(parameter.name, list(parameter.choices))
    raise TypeError(f"hyperparameter {parameter.name!r} is a {type(parameter).__name__}, which is not translated")
