"""Checks of a search's arguments, which must fail before anything is trained."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from pathlib import Path
from typing import Any

from ConfigSpace import CategoricalHyperparameter, ConfigurationSpace, Constant, OrdinalHyperparameter

from lightning_primo.algorithms import Algorithm
from lightning_primo.checks import (
    LARGEST_WHOLE,
    check_mapping,
    check_number,
    check_path,
    check_whole,
    shown,
)
from lightning_primo.errors import InvalidArgumentError
from lightning_primo.factory.folds import check_folding
from lightning_primo.json_values import is_json, is_written, plain
from lightning_primo.objectives import ObjectiveCallback, TrainedCallback
from lightning_primo.objectives.base import BEST
from lightning_primo.problem import Fidelity
from lightning_primo.space import check_space
from lightning_primo.training import check_trainer_arguments
from lightning_primo.training.lengths.by_data import fidelity_by_data
from lightning_primo.training.lengths.by_epochs import fidelity_by_epochs
from lightning_primo.training.lengths.by_steps import fidelity_by_steps
from lightning_primo.training.options import TrainerArguments
from lightning_primo.workers.executor import tells_its_size

_MOST_REMEASUREMENTS = 1000  # of each trial of the front; they take turns, so all are planned at once
_MOST_REPLICATES = 1000

_EXAMPLES = {
    "objectives": "Metric('val_loss') or ParameterCount()",
    "constraints": "FLOPs(at_most=1e7) or Metric('val_acc', at_least=0.9)",
}


def check_choices(space: ConfigurationSpace) -> None:
    """Raise an InvalidArgumentError for what is no space, or choices that JSON would not give back as they were."""
    check_space(space)
    for hyperparameter in space.values():
        if isinstance(hyperparameter, CategoricalHyperparameter):
            choices = hyperparameter.choices
        elif isinstance(hyperparameter, OrdinalHyperparameter):
            choices = hyperparameter.sequence
        elif isinstance(hyperparameter, Constant):
            choices = (hyperparameter.value,)
        else:
            continue
        for choice in choices:
            if not (is_json(plain(choice)) and is_written(plain(choice))):
                raise InvalidArgumentError(
                    f"'space' has the choice {shown(choice)} of {hyperparameter.name!r}; choices must be None, "
                    "finite numbers, booleans or strings, or lists and dicts of these (a tuple would come back as a "
                    "list); name anything else by a string and look it up where the module is built"
                )


def check_objectives(objectives: object, constraints: object) -> None:
    """Raise an InvalidArgumentError unless both are lists of objectives, of which one at most counts at its best."""
    callbacks = [*_listed("objectives", objectives), *_listed("constraints", constraints)]
    best = [c.objective.name for c in callbacks if isinstance(c, TrainedCallback) and c.at == BEST]
    if len(best) > 1:
        raise InvalidArgumentError(
            f'{" and ".join(map(repr, best))} are all taken at="best", but weights are those of one epoch; leave it to '
            "the metric that is to choose it, the others are taken at the same epoch"
        )


def _listed(label: str, callbacks: object) -> Sequence[ObjectiveCallback]:
    example = _EXAMPLES[label]
    if isinstance(callbacks, str) or not isinstance(callbacks, Sequence):
        raise InvalidArgumentError(f"{label!r} must be a list of objects like {example}, got {shown(callbacks)}")
    for callback in callbacks:
        if isinstance(callback, type) and issubclass(callback, ObjectiveCallback):
            raise InvalidArgumentError(f"{label!r} holds the class {callback.__name__}; write {callback.__name__}(...)")
        if not isinstance(callback, ObjectiveCallback):
            raise InvalidArgumentError(f"{label!r} must hold objects like {example}, got {shown(callback)}")
    return callbacks


def read_fidelity(trainer: TrainerArguments, **given: Any) -> Fidelity:
    """The lengths of trainings.

    Args:
        trainer: Arguments of the Trainer, checked, or a function that gives them.
        **given: ``epochs``, ``steps`` and ``data``; None for what is not given.

    Raises:
        InvalidArgumentError: If not exactly one is given, it is no pair of such numbers, or the Trainer does not
            validate where it must.
    """
    names = [name for name, pair in given.items() if pair is not None]
    if len(names) != 1:
        got = " and ".join(map(repr, names)) or "none"
        each = "; with 'data' the Trainer's 'max_epochs' says how long each training is" if "data" in names else ""
        raise InvalidArgumentError(
            f"'Search' takes one of 'epochs', 'steps' and 'data', got {got}{each}; give epochs=(1, 27), for trainings "
            "that are counted in optimiser steps steps=(500, 13_500), or in fractions of the data data=(1/27, 1)"
        )
    if given["data"] is not None:
        return fidelity_by_data(given["data"], trainer)
    if given["steps"] is not None:
        return fidelity_by_steps(given["steps"], trainer)
    return fidelity_by_epochs(given["epochs"], trainer)


def check_algorithm(algorithm: object) -> None:
    """Raise an InvalidArgumentError unless it is an Algorithm or None."""
    if isinstance(algorithm, type):
        raise InvalidArgumentError(f"'algorithm' is the class {algorithm.__name__}; write {algorithm.__name__}()")
    if algorithm is not None and not isinstance(algorithm, Algorithm):
        raise InvalidArgumentError(f"'algorithm' must be an Algorithm such as PriMO(), got {shown(algorithm)}")


def check_executor(executor: object) -> None:
    """Raise an InvalidArgumentError unless it is an Executor or None."""
    if executor is not None and not isinstance(executor, Executor):
        raise InvalidArgumentError(
            "'executor' must be a concurrent.futures.Executor, such as a ProcessPoolExecutor or Dask's "
            f"Client.get_executor(), got {shown(executor)}"
        )


def check_workers(workers: Any, executor: Executor | None) -> int | None:
    """The number of trainings at a time; None for as many as `executor` has workers.

    Raises:
        InvalidArgumentError: If it is no whole number of at least 1, or is not given where `executor` does not tell it.
    """
    if workers is not None:
        return check_whole("workers", workers, least=1)
    if executor is None:
        return 1
    if not tells_its_size(executor):
        raise InvalidArgumentError(
            f"'workers' must be given, the number of trainings at a time: this executor does not tell how many workers "
            f"it has ({type(executor).__name__})"
        )
    return None


def check_replicates(repeats: Any, folds: Any, datamodule: object) -> dict[str, Any]:
    """The numbers of seeds and of folds that each full training has, by the names of `TrainingOptions`.

    Raises:
        InvalidArgumentError: If they are no such numbers, or the data cannot be split.
    """
    seeds = check_whole("repeats", repeats, least=1, most=_MOST_REPLICATES)
    if folds is None:
        return {"repeats": seeds, "folds": None}
    parts = check_whole("folds", folds, least=2, most=_MOST_REPLICATES)
    check_folding(datamodule)
    return {"repeats": seeds, "folds": parts}


def check_trainer(trainer: object) -> TrainerArguments:
    """The Trainer's arguments, empty for None, or the function that gives them, whose results are checked later.

    Raises:
        InvalidArgumentError: If it is neither, or the arguments cannot be given to the Trainers of a search.
    """
    if callable(trainer) and not isinstance(trainer, (type, Mapping)):
        return trainer
    if trainer is not None and not isinstance(trainer, Mapping):
        raise InvalidArgumentError(f"'trainer' must be a dict or a function config -> dict, got {shown(trainer)}")
    arguments = check_mapping("trainer", trainer, "the names of arguments to values")
    check_trainer_arguments(arguments)
    return arguments


def check_remeasure(times: Any) -> int:
    """How often the front is measured again; an InvalidArgumentError if that is no number of times."""
    return check_whole("remeasure", times, least=0, most=_MOST_REMEASUREMENTS)


def check_timeout(seconds: object) -> float | None:
    """The seconds that a trial may take, None for no limit; an InvalidArgumentError if they are not positive."""
    if seconds is None or (isinstance(seconds, float) and seconds == math.inf):
        return None
    return float(
        check_number(
            "trial_timeout",
            seconds,
            f"a positive number of seconds or None, at most {LARGEST_WHOLE}",
            above=0,
            most=LARGEST_WHOLE,
        )
    )


def check_directory(directory: object) -> Path:
    """The directory as an absolute path; an InvalidArgumentError if there can be none of that name."""
    return check_path("directory", directory, example="runs/first")
