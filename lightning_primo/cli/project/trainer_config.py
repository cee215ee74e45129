"""What a config says of the Trainer: what a search heeds of it, and what it leaves out."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import lightning.pytorch as pl

from lightning_primo.cli.project.overlay import CLASS
from lightning_primo.training.trainer import OWNED_ARGUMENTS

_MEANT_BY_NONE: dict[str, Any] = {
    "enable_checkpointing": True,
    "enable_model_summary": True,
    "enable_progress_bar": True,
    "num_sanity_val_steps": 2,
}
"""What Lightning takes for arguments that are None by default; a config that spells it out asks for nothing else."""


def heeded(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments that a search heeds: without those at Lightning's defaults, in whose place are its own."""
    defaults = defaults_of_trainer()
    return {
        name: value
        for name, value in arguments.items()
        if name in defaults and name not in OWNED_ARGUMENTS and not _is_default(name, value, defaults)
    }


def not_heeded(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Those that are set and that a search does not heed, as it sets them itself or the Trainer has none such."""
    defaults = defaults_of_trainer()
    return {
        name: value
        for name, value in arguments.items()
        if (name in OWNED_ARGUMENTS or name not in defaults) and not _is_default(name, value, defaults)
    }


def defaults_of_trainer() -> dict[str, Any]:
    """The arguments that Lightning's Trainer takes, with their defaults."""
    parameters = inspect.signature(pl.Trainer.__init__).parameters
    return {name: parameter.default for name, parameter in parameters.items() if name != "self"}


def describes_object(value: Any) -> bool:
    """Whether a value in a config is that of a class, or has some inside."""
    if isinstance(value, Mapping):
        return CLASS in value or any(map(describes_object, value.values()))
    return isinstance(value, list) and any(map(describes_object, value))


def _is_default(name: str, value: Any, defaults: Mapping[str, Any]) -> bool:
    default = defaults.get(name)
    if default is None and value == _MEANT_BY_NONE.get(name):
        return True
    return value is default or value == [] or (isinstance(value, (bool, int, float, str)) and value == default)
