"""Weights of a checkpoint that do not fit the module which is to go on from it, found there or before a search."""

from __future__ import annotations

import functools
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import Callback
from torch import nn
from typing_extensions import override

from lightning_primo.errors import CheckpointError, NotMeasurableError
from lightning_primo.training.checkpoint.record import plain_name, plain_shapes, weights_in

_NAMED = 4
_REMEDY = (
    "A module whose parameters or buffers come, go or change their shape in the course of the "
    "training must have them from the start, so that weights and optimisers fit: make them in the constructor, as "
    "torch.nn.utils.prune.identity does for what is pruned later, in setup() or in configure_model(), or register such "
    "a buffer with persistent=False"
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
    """Raises an error after an epoch in which parameters or buffers have come or gone since a checkpoint is loaded.

    Layers are there in time that the constructor, `setup` and `configure_model` make; those of `configure_optimizers`
    and of what follows come after a checkpoint was loaded, and are neither measured nor loaded with the trained ones.

    Args:
        goes_on: Whether trainings go on from their checkpoints; else it is the parameters alone that count.
    """

    def __init__(self, *, goes_on: bool = True) -> None:
        self.goes_on = goes_on
        self._names: set[str] | None = None
        self._own: Any = None
        self._noting: Any = None

    @override
    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        self._names = None
        if trainer.strategy.restore_checkpoint_after_setup:
            return
        configure_optimizers = pl_module.configure_optimizers
        self._own = vars(pl_module).get("configure_optimizers")

        @functools.wraps(configure_optimizers)
        def noting() -> Any:  # there is no hook between the loading of a checkpoint and this
            self._note(pl_module)
            return configure_optimizers()

        pl_module.configure_optimizers = self._noting = noting  # type: ignore[method-assign]

    @override
    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self._noting is not None and vars(pl_module).get("configure_optimizers") is self._noting:
            del pl_module.configure_optimizers
            if self._own is not None:  # as a LightningCLI gives it to the module
                pl_module.configure_optimizers = self._own  # type: ignore[method-assign]
        self._own = self._noting = None
        if self._names is None:  # the checkpoint comes now, or the module has set another one of its own by its setup()
            self._note(pl_module)

    @override
    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        other = sorted((self._names or set()) ^ self._saved(pl_module))
        if other and self.goes_on:
            raise CheckpointError(
                f"no trial could go on with its training: {type(pl_module).__name__} has changed in its course by "
                f"{_named(other)}, so that a checkpoint does not fit the module as it is built. {_REMEDY}"
            )
        if other:
            raise NotMeasurableError(
                f"{type(pl_module).__name__} has changed in the course of its training by {_named(other)}, which its "
                "costs are measured without, and its weights do not fit the module as it is built. Layers must be "
                "there before the optimisers: make them in the constructor, setup() or configure_model()"
            )

    def _note(self, module: pl.LightningModule) -> None:
        self._names = self._saved(module)

    def _saved(self, module: nn.Module) -> set[str]:
        return {*_parameter_names(module), *(_buffer_names(module) if self.goes_on else ())}


def _parameter_names(module: nn.Module) -> Iterator[str]:
    yield from (plain_name(name) for name, _ in module.named_parameters(remove_duplicate=False))


def _buffer_names(module: nn.Module) -> Iterator[str]:
    """The names of what a state dict has of buffers."""
    for path, part in module.named_modules():
        kept = (name for name in part._buffers if name not in part._non_persistent_buffers_set)
        yield from (plain_name(f"{path}.{name}".lstrip(".")) for name in kept if part._buffers[name] is not None)


def _named(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} others" if len(names) > _NAMED else ""
    return ", ".join(map(repr, names[:_NAMED])) + more
