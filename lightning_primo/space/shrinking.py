"""A space shrunk to where earlier searches were good.

Perrone et al. 2019, "Learning search spaces for Bayesian optimization: Another view of hyperparameter transfer
learning" (arXiv 1909.12552), section 4.1: the smallest box that has the best configurations of all tasks.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ConfigSpace import ConfigurationSpace
from ConfigSpace.hyperparameters import NumericalHyperparameter

from lightning_primo.checks import shown
from lightning_primo.errors import InvalidArgumentError
from lightning_primo.space.clauses import forbidden_names


def shrunk(space: ConfigurationSpace, configs: Iterable[Mapping[str, Any]]) -> ConfigurationSpace:
    """The space with the ranges of its numerical hyperparameters shrunk to those of some configurations.

    Choices, conditions and forbidden clauses stay, and the ranges of hyperparameters that these name; so does that of
    one of which there are fewer than two different values. Values outside of the space do not count.

    >>> from ConfigSpace import Float
    >>> space = ConfigurationSpace()
    >>> _ = space.add(Float("lr", (1e-5, 1.0), log=True), Float("dropout", (0, 0.9)))
    >>> shrunk(space, [{"lr": 1e-3}, {"lr": 1e-2, "dropout": 0.5}])["lr"].upper
    0.01

    Args:
        space: The space, which stays as it is.
        configs: Good configurations, such as ``trial.config`` of each member of the fronts of earlier results.

    Raises:
        InvalidArgumentError: If there are none, or one is no mapping.
    """
    rows = list(configs)
    if not rows or not all(isinstance(row, Mapping) for row in rows):
        raise InvalidArgumentError(
            f"'configs' must hold the configurations of earlier trials, got {shown(rows)}; write "
            "[trial.config for result in results for trial in result.front]"
        )
    named = {name for clause in space.forbidden_clauses for name in forbidden_names(clause)}
    named |= {name for name in space if space.children_of[name]}
    described = space.to_serialized_dict()
    for entry in described["hyperparameters"]:
        hyperparameter = space[entry["name"]]
        if not isinstance(hyperparameter, NumericalHyperparameter) or entry["name"] in named:
            continue
        values = [row[entry["name"]] for row in rows if entry["name"] in row]
        inside = [value for value in values if hyperparameter.legal_value(value)]
        if len(set(inside)) > 1:
            low, high = min(inside), max(inside)
            entry.update(lower=low, upper=high, default_value=min(max(entry["default_value"], low), high))
    return ConfigurationSpace.from_serialized_dict(described)
