"""Saved hyperparameters in checkpoints that hold no objects.

What ``save_hyperparameters`` has kept may be objects: a dataclass, an OmegaConf config, a loss. A checkpoint of
Lightning's that holds them does not load with ``weights_only=True``, which is PyTorch's default. Nothing in a search
needs them, as the trial's configuration rebuilds the module; ``load_from_checkpoint`` does.
"""

from __future__ import annotations

import functools
import io
from collections.abc import Collection, Mapping
from typing import Any

import torch
from lightning.pytorch.utilities import rank_zero_warn

from lightning_primo.errors import CheckpointWarning

LEFT_OUT = "left_out_hyperparameters"
"""The entry of a checkpoint that names the arguments of the module's constructor that are missing in it.

It is there where some are, and empty where all are that were saved, of which nothing says which argument they were.
"""

_MODULE = "hyper_parameters"
# The hyperparameters, the argument of the constructor that they were, and the class of their container.
_SAVED = (
    (_MODULE, "hparams_name", "hparams_type"),
    ("datamodule_hyper_parameters", "datamodule_hparams_name", "datamodule_hparams_type"),
)
_ARGUMENTS_OF_THEIR_OWN = "kwargs"  # what Lightning notes as the name where each is an argument of the constructor


def without_objects(checkpoint: Mapping[str, Any]) -> dict[str, Any]:
    """A checkpoint of Lightning's without saved hyperparameters that do not load with ``weights_only=True``.

    Where each is an argument of the constructor the others stay, so that who gives those that are missing to
    ``load_from_checkpoint`` gets the trial's values of the rest. A container that is one argument goes as a whole, as
    one with holes would be taken for a whole one.

    It is said once per process what is missing.
    """
    plain = dict(checkpoint)
    missing: list[str] | None = None
    for saved, name, kind in _SAVED:
        values = checkpoint.get(saved)
        if values is None or (loads(values) and loads(checkpoint.get(kind))):
            continue
        entries = list(values.items()) if isinstance(values, Mapping) else []
        lost = [key for key, value in entries if not loads(value)]
        if lost and checkpoint.get(name) == _ARGUMENTS_OF_THEIR_OWN:
            plain[saved] = {key: value for key, value in entries if key not in lost}
        else:
            lost = [str(checkpoint[name])] if checkpoint.get(name) else []
            del plain[saved]
            plain.pop(name, None)  # with it an empty container would be given to the constructor
        plain.pop(kind, None)
        missing = [*(missing or []), *lost]
        if saved == _MODULE:
            plain[LEFT_OUT] = lost
    if missing is not None:
        _warn_of_objects(named(missing))
    return plain


def loads(value: Any) -> bool:
    """Whether a value in a checkpoint could be read with ``weights_only=True``."""
    file = io.BytesIO()
    try:
        torch.save(value, file)
        torch.load(io.BytesIO(file.getvalue()), map_location="cpu", weights_only=True)
    except Exception:  # whatever pickling such an object leads to
        return False
    return True


def named(names: Collection[str]) -> str:
    """The hyperparameters that are missing in a checkpoint, as words of a sentence; see `LEFT_OUT`."""
    return f"the hyperparameters {', '.join(map(repr, names))}" if names else "all saved hyperparameters"


def how_to_load(names: Collection[str]) -> str:
    """How a module is loaded from a checkpoint in which these hyperparameters are missing, as a clause."""
    given = ", ".join(f"{name}=..." for name in names) or "..."
    return (
        f"give them to load_from_checkpoint(path, {given}), export with --objects (in Python objects=True), or take "
        "the trained module by Result.load"
    )


@functools.cache
def _warn_of_objects(names: str) -> None:
    rank_zero_warn(
        f"{names} are left out of the trials' checkpoints, as they hold objects that do not load with "
        "weights_only=True. A trained module is there by Result.load all the same; for load_from_checkpoint of an "
        "export give them to it, export with --objects (in Python objects=True), or leave them out by "
        "save_hyperparameters(ignore=...)",
        category=CheckpointWarning,
    )
