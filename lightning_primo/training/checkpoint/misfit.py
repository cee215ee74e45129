"""Why the weights of a checkpoint do not fit the module that is to go on from it."""

from __future__ import annotations

import traceback
from pathlib import Path

import lightning.pytorch as pl

from lightning_primo.errors import CheckpointError
from lightning_primo.training.checkpoint.record import plain_shapes, weights_in

_NAMED = 4


def misfit(error: Exception, path: Path, module: pl.LightningModule) -> CheckpointError | None:
    """What to raise where a trial's own checkpoint has other weights than its module, as it begins; None for nothing.

    Args:
        error: With which it did not begin: if states were not what it failed at, that is what to tell of.
        path: The checkpoint.
        module: Built from the same configuration.
    """
    if all(frame.name != "load_state_dict" for frame in traceback.extract_tb(error.__traceback__)):
        return None
    saved, built = plain_shapes(weights_in(path)), plain_shapes(module.state_dict())
    other = [name for name in (*saved, *(built.keys() - saved.keys())) if saved.get(name) != built.get(name)]
    if not other:
        return None
    named = ", ".join(map(repr, other[:_NAMED])) + (f" and {len(other) - _NAMED} others" if len(other) > _NAMED else "")
    return CheckpointError(
        f"the trial cannot go on with its training: its checkpoint and {type(module).__name__} as it is built differ "
        f"in {named}. A module whose parameters or buffers come, go or change their shape in the course of the "
        "training must have them from the start, so that weights and optimisers fit: make them in the constructor, as "
        "torch.nn.utils.prune.identity does for what is pruned later"
    )
