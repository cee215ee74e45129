"""A configuration that a person wrote, as one of the space: checked, and with the defaults of what it leaves out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from lightning_primo.checks import shown
from lightning_primo.errors import InvalidArgumentError, UnknownNameError
from lightning_primo.space.encoding import Config, Encoding


def completed(config: Any, encoding: Encoding, where: str) -> Config:
    """The active hyperparameters of a configuration, in the space's order.

    What is left out has the space's default where it is active. What is given must be active.

    Args:
        config: Values by the hyperparameters' names; empty for the defaults alone.
        encoding: Of the space.
        where: What it is, for errors: ``"'first' number 2"``.

    Raises:
        UnknownNameError: For a name that is not in the space.
        InvalidArgumentError: For what is no mapping, a value that is not in the space or given where it is inactive,
            or a combination that is forbidden.
    """
    if not isinstance(config, Mapping) or not all(isinstance(name, str) for name in config):
        raise InvalidArgumentError(
            f"{where} must be a configuration, a dict of hyperparameters to values, got {shown(config)}"
        )
    if unknown := [name for name in config if name not in encoding.names]:
        raise UnknownNameError(f"hyperparameter in {where}", unknown[0], encoding.names)
    values = {name: config.get(name, encoding.space[name].default_value) for name in encoding.names}
    vector = np.empty((1, len(encoding.names)))
    for column, (name, axis) in enumerate(zip(encoding.names, encoding.axes, strict=True)):
        if not axis.accepts(values[name]):
            raise InvalidArgumentError(
                f"{where} has {name!r} = {shown(values[name])}, which is not in the space; expected {axis.domain}"
            )
        vector[0, column] = axis.encode([values[name]])[0]
    active = encoding.active(vector)[0].tolist()
    kept = {name: values[name] for name, is_active in zip(encoding.names, active, strict=True) if is_active}
    try:
        return encoding.config(encoding.vector({**kept, **config}))
    except InvalidArgumentError as error:
        raise InvalidArgumentError(f"{where} is not in the space: {error}") from error
