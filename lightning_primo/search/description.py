"""What a search with trainings is, as text: its problem, and the settings of the callbacks that measure it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lightning_primo.algorithms import Algorithm
from lightning_primo.objectives.base import ObjectiveCallback
from lightning_primo.problem import Problem
from lightning_primo.space import Encoding, completed
from lightning_primo.store.described_problem import EPOCHS_EACH, FOLDS, NO_FOLDS, REPEATS
from lightning_primo.study.description import describe_problem, described, json_text
from lightning_primo.training.lengths.by_data import epochs_of_each
from lightning_primo.training.options import TrainingOptions
from lightning_primo.training.trainer import trainer_arguments


def describe(
    problem: Problem,
    *,
    objectives: Sequence[ObjectiveCallback],
    constraints: Sequence[ObjectiveCallback],
    algorithm: Algorithm,
    seed: int,
) -> dict[str, str]:
    """The search as text by key; JSON where there is more than one number to it.

    Module, data and the Trainer's arguments are code, which cannot be compared and is left out.

    Args:
        problem: What is searched.
        objectives: What is optimised.
        constraints: What only bounds the search.
        algorithm: With its hyperparameters.
        seed: The search's.
    """
    return {
        **describe_problem(problem, algorithm=algorithm, seed=seed),
        "objectives": json_text({callback.objective.name: _objective(callback) for callback in objectives}),
        "constraints": json_text({callback.objective.name: _objective(callback) for callback in constraints}),
    }


def describe_trainings(options: TrainingOptions, problem: Problem) -> dict[str, str]:
    """With how many seeds and on how many folds each full training is carried out, as text by key.

    By fractions of the data, also how many epochs each training has: those of the space's default configuration, where
    the Trainer's arguments are a function.

    Args:
        options: What the user has set.
        problem: What is searched.

    Raises:
        InvalidArgumentError: If the Trainer's arguments do not say how many epochs.
    """
    replicates = {REPEATS: str(options.repeats), FOLDS: str(options.folds or NO_FOLDS)}
    if problem.unit.continues:
        return replicates
    arguments = trainer_arguments(options.trainer, completed({}, Encoding(problem.space), "the default configuration"))
    return {**replicates, EPOCHS_EACH: str(epochs_of_each(arguments))}


def _objective(callback: ObjectiveCallback) -> dict[str, Any]:
    """The objective's fields and the callback's own settings, such as the device that a latency is measured on."""
    return {"class": type(callback).__qualname__, **callback.settings(), **described(callback.objective)}
