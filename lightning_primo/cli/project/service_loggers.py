"""The loggers of a project's config that have runs at a service: one per trial, which goes on when it is promoted.

Those of a search are a group at W&B, and at MLflow the children of a run that is the search's.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import CSVLogger, Logger, MLFlowLogger, TensorBoardLogger, WandbLogger

from lightning_primo.cli.project.overlay import INIT
from lightning_primo.training.loggers import listed, mlflow_parent, run_id, search_name

FURTHER = "dict_kwargs"
"""Where a config has the arguments that a class takes as ``**kwargs``."""


def loggers_of_trial(
    config: Mapping[str, Any], kinds: Sequence[type], directory: Path, make: Callable[[dict[str, Any]], Any]
) -> list[Logger]:
    """The loggers that `config` describes, for the trial in `directory`.

    Those of files write into it. Those of services keep a name, a folder or an id in the config, the id with the
    trial's name behind it.

    Args:
        config: With the project's loggers under ``trainer.logger``.
        kinds: Their classes.
        directory: The trial's own.
        make: Makes the loggers that a config describes.
    """
    entries = listed(config["trainer"]["logger"])

    def made(entries: list[Any]) -> list[Logger]:
        return listed(make({**config, "trainer": {**config["trainer"], "logger": entries}}))

    for index, kind in enumerate(kinds):
        if issubclass(kind, WandbLogger):
            entries[index] = _grouped(entries[index], search_name(directory))
            entries[index] = _with(entries[index], _of_wandb(entries[index][INIT], directory, str(index)))
        elif issubclass(kind, MLFlowLogger):
            name = entries[index][INIT].get("run_name") or directory.name
            search = search_name(directory)
            parent: Any = made([_with(entries[index], {"run_name": search, "run_id": None})])[0]
            tags = {**mlflow_parent(directory, parent, key=str(index)), **(entries[index][INIT].get("tags") or {})}
            begun = _with(entries[index], {"run_name": name, "run_id": None, "tags": tags})
            (logger,) = made([begun])  # connects to nothing before it is asked for its run
            run = run_id(directory, key=str(index), start=functools.partial(getattr, logger, "run_id"))
            entries[index] = _with(begun, {"run_id": run})
        elif issubclass(kind, (CSVLogger, TensorBoardLogger)):
            entries[index] = _with(entries[index], {"save_dir": str(directory), "version": None})
    return made(entries)


def _of_wandb(given: Mapping[str, Any], directory: Path, key: str) -> dict[str, Any]:
    own = given.get("version") or given.get("id")
    return {
        "name": given.get("name") or directory.name,
        "id": f"{own}-{directory.name}" if own else run_id(directory, key=key),
        "version": None,
        "save_dir": given["save_dir"] if given.get("save_dir") not in (None, ".") else str(directory),
    }


def _grouped(entry: Mapping[str, Any], search: str) -> dict[str, Any]:
    """A logger's entry with the search's name as the group, unless it has one; WandbLogger hands it to wandb.init."""
    if "group" in entry[INIT]:  # W&B is installed, which the parser knows wandb.init of
        return _with(entry, {"group": entry[INIT]["group"] or search})
    return {**entry, FURTHER: {"group": search, **(entry.get(FURTHER) or {})}}


def _with(entry: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """A logger's entry with `values`, as far as its class takes them."""
    return {**entry, INIT: {**entry[INIT], **{name: value for name, value in values.items() if name in entry[INIT]}}}
