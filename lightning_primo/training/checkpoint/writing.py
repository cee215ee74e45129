"""How a trial's checkpoint is written: where it belongs, whole, on the disk, and so that it can be loaded again."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.plugins.io import TorchCheckpointIO
from lightning.pytorch.strategies import Strategy
from typing_extensions import override

from lightning_primo.errors import CheckpointError
from lightning_primo.layout import checkpoint_file, partial_checkpoint, partial_checkpoints
from lightning_primo.training.checkpoint.claim import Claim
from lightning_primo.training.checkpoint.plain_hyperparameters import loads, without_objects

# Classes of modules whose checkpoints were seen to load: reading each one back would take as long as writing it.
_verified: set[type] = set()


def write_checkpoint(trainer: pl.Trainer, directory: Path, claim: Claim | None) -> None:
    """Replace the checkpoint in a trial's directory by one of the Trainer's present state.

    It is written beside the old one, flushed to disk, and renamed. All processes of the trial call this.

    Args:
        trainer: At the end of an epoch.
        directory: The trial's.
        claim: The attempt's, without which it does not write; None if there can be no other attempt.

    Raises:
        CheckpointError: If it could not be loaded with ``weights_only=True``.
        SupersededError: Another attempt may write now.
    """
    partial = partial_checkpoint(directory, "own" if claim is None else claim.token)
    with _written_in_place(trainer.strategy):
        trainer.save_checkpoint(partial, weights_only=False)
    if trainer.is_global_zero:
        try:
            if claim is not None:
                claim.check()  # whoever may write now has removed this file
            _put_in_place(trainer, partial, checkpoint_file(directory))
        except BaseException:
            partial.unlink(missing_ok=True)
            raise
    trainer.strategy.barrier()  # nobody goes on before there is something to go on from


def remove_partial(directory: Path) -> None:
    """Remove what attempts that were killed have left of a checkpoint."""
    for partial in partial_checkpoints(directory):
        partial.unlink(missing_ok=True)


@contextmanager
def _written_in_place(strategy: Strategy) -> Iterator[None]:
    """Let `strategy` write checkpoints straight into the files that they are to be in.

    Lightning writes each into memory, then into a temporary file, and moves that: onto another file system it is copied
    once more, a small ``/tmp`` is full before the disk is, and what is killed on the way leaves the file there. A
    strategy with an input and output of the user's keeps that.
    """
    before = strategy.checkpoint_io
    if type(before) is not TorchCheckpointIO:
        yield
        return
    strategy.checkpoint_io = _InPlace()
    try:
        yield
    finally:
        strategy.checkpoint_io = before


class _InPlace(TorchCheckpointIO):
    @override
    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        checkpoint = without_objects(checkpoint)
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            with target.open("wb") as file:  # of Python, whose errors say what is wrong with the disk
                torch.save(checkpoint, file)
        except BaseException:
            target.unlink(missing_ok=True)  # the disk is full enough
            raise


def _put_in_place(trainer: pl.Trainer, partial: Path, path: Path) -> None:
    module = type(trainer.lightning_module)
    if module not in _verified:
        _require_loadable(partial, module)
        _verified.add(module)
    _flush(partial)
    partial.replace(path)
    if os.name == "posix":
        _flush(path.parent)


def _require_loadable(path: Path, module: type[pl.LightningModule]) -> None:
    try:
        torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except Exception as error:
        entries, classes = _objects(path)
        raise CheckpointError(
            f"the trial's checkpoint does not load with weights_only=True: its {entries} may hold tensors, numbers, "
            f"strings and containers of these, but {classes}. If on_save_checkpoint of {module.__name__} or of a "
            "callback puts there what is made anew for each trial anyway, do nothing in it and in on_load_checkpoint, "
            "in a subclass if the class is not yours. Else leave these objects out of on_save_checkpoint, state_dict "
            "and the optimizer's options, or declare their classes by torch.serialization.add_safe_globals"
        ) from error


def _objects(path: Path) -> tuple[str, str]:
    """Which entries of a checkpoint hold objects, and of which classes, as words of a sentence."""
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=False)  # this process has just written it
    except Exception:
        checkpoint = {}
    names = [key for key, value in checkpoint.items() if not loads(value)]
    entries = f"entries {', '.join(map(repr, names))}" if names else "entries"
    classes = torch.serialization.get_unsafe_globals_in_checkpoint(path)
    return entries, f"they need {', '.join(sorted(classes))}" if classes else "they hold others"


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
