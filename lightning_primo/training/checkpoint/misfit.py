"""Weights of a checkpoint that do not fit the module which is to go on from it, found there or before a search."""

from __future__ import annotations

import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path

import lightning.pytorch as pl
from lightning.pytorch.callbacks import Callback
from torch import nn
from typing_extensions import override

from lightning_primo.errors import CheckpointError
from lightning_primo.training.checkpoint.record import plain_name, plain_shapes, weights_in

_NAMED = 4
_REMEDY = (
    "A module whose parameters or buffers come, go or change their shape in the course of the "
    "training must have them from the start, so that weights and optimisers fit: make them in the constructor, as "
    "torch.nn.utils.prune.identity does for what is pruned later, or register such a buffer with persistent=False"
)


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
    return CheckpointError(
        f"the trial cannot go on with its training: its checkpoint and {type(module).__name__} as it is built differ "
        f"in {_named(other)}. {_REMEDY}"
    )


class SameWeights(Callback):
    """Raises a CheckpointError after an epoch in which parameters or buffers have come or gone.

    No checkpoint of such a training could be gone on with: it is loaded into the module as it is set up.
    """

    def __init__(self) -> None:
        self._names: set[str] = set()

    @override
    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._names = set(_saved_names(pl_module))

    @override
    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        other = sorted(self._names ^ set(_saved_names(pl_module)))
        if other:
            raise CheckpointError(
                f"no trial could go on with its training: {type(pl_module).__name__} has changed in its course by "
                f"{_named(other)}, so that a checkpoint does not fit the module as it is built. {_REMEDY}"
            )


def _saved_names(module: nn.Module) -> Iterator[str]:
    """The names of what a state dict has of parameters and buffers, without gathering it from several processes."""
    yield from (plain_name(name) for name, _ in module.named_parameters(remove_duplicate=False))
    for path, part in module.named_modules():
        kept = (name for name in part._buffers if name not in part._non_persistent_buffers_set)
        yield from (plain_name(f"{path}.{name}".lstrip(".")) for name in kept if part._buffers[name] is not None)


def _named(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} others" if len(names) > _NAMED else ""
    return ", ".join(map(repr, names[:_NAMED])) + more
