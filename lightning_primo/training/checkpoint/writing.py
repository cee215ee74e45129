"""How a trial's checkpoint is written: where it belongs, whole, on the disk, and so that it can be loaded again."""

from __future__ import annotations

import io
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
    with _written_by(trainer.strategy, _InPlace()):
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


def try_checkpoint(trainer: pl.Trainer, directory: Path) -> None:
    """Write a checkpoint as `write_checkpoint` does, see that it can be loaded, and remove it.

    The first one of a training is read back all the same.

    Args:
        trainer: At the end of an epoch.
        directory: Where there is room for it.

    Raises:
        CheckpointError: If it could not be loaded with ``weights_only=True``.
    """
    partial = partial_checkpoint(directory, "own")
    with _written_by(trainer.strategy, _InPlace()):
        trainer.save_checkpoint(partial, weights_only=False)
    if trainer.is_global_zero:
        try:
            _require_loadable(partial, type(trainer.lightning_module))
        finally:
            partial.unlink(missing_ok=True)
    trainer.strategy.barrier()


def try_checkpoint_in_memory(trainer: pl.Trainer, directory: Path) -> None:
    """As `try_checkpoint`, with the checkpoint in memory.

    Args:
        trainer: At the end of an epoch.
        directory: For that of a strategy with an input and output of the user's, which writes files.

    Raises:
        CheckpointError: If it could not be loaded with ``weights_only=True``.
    """
    if type(trainer.strategy.checkpoint_io) is not TorchCheckpointIO:
        try_checkpoint(trainer, directory)
        return
    memory = _InMemory()
    with _written_by(trainer.strategy, memory):
        trainer.save_checkpoint(partial_checkpoint(directory, "own"), weights_only=False)
    if trainer.is_global_zero:
        _require_loadable(memory.file, type(trainer.lightning_module))
    trainer.strategy.barrier()


def remove_partial(directory: Path) -> None:
    """Remove what attempts that were killed have left of a checkpoint."""
    for partial in partial_checkpoints(directory):
        partial.unlink(missing_ok=True)


@contextmanager
def _written_by(strategy: Strategy, own: TorchCheckpointIO) -> Iterator[None]:
    """Let `strategy` write checkpoints by `own`, such as straight into the files that they are to be in.

    Lightning writes each into memory, then into a temporary file, and moves that: onto another file system it is copied
    once more, a small ``/tmp`` is full before the disk is, and what is killed on the way leaves the file there. A
    strategy with an input and output of the user's keeps that.
    """
    before = strategy.checkpoint_io
    if type(before) is not TorchCheckpointIO:
        yield
        return
    strategy.checkpoint_io = own
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


class _InMemory(TorchCheckpointIO):
    def __init__(self) -> None:
        self.file = io.BytesIO()

    @override
    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        torch.save(without_objects(checkpoint), self.file)


def _put_in_place(trainer: pl.Trainer, partial: Path, path: Path) -> None:
    module = type(trainer.lightning_module)
    if module not in _verified:
        _require_loadable(partial, module)
        _verified.add(module)
    _flush(partial)
    partial.replace(path)
    if os.name == "posix":
        _flush(path.parent)


def _require_loadable(file: Path | io.BytesIO, module: type[pl.LightningModule]) -> None:
    try:
        torch.load(_from_start(file), map_location="cpu", weights_only=True, mmap=isinstance(file, Path))
    except Exception as error:
        entries, classes = _objects(file)
        raise CheckpointError(
            f"the trial's checkpoint does not load with weights_only=True: its {entries} may hold tensors, numbers, "
            f"strings and containers of these, but {classes}. If on_save_checkpoint of {module.__name__} or of a "
            "callback puts there what is made anew for each trial anyway, do nothing in it and in on_load_checkpoint, "
            "in a subclass if the class is not yours. Else leave these objects out of on_save_checkpoint, state_dict "
            "and the optimizer's options, or declare their classes by torch.serialization.add_safe_globals"
        ) from error


def _from_start(file: Path | io.BytesIO) -> Path | io.BytesIO:
    if isinstance(file, io.BytesIO):
        file.seek(0)
    return file


def _objects(file: Path | io.BytesIO) -> tuple[str, str]:
    """Which entries of a checkpoint hold objects, and of which classes, as words of a sentence."""
    try:
        # This process has just written it.
        checkpoint = torch.load(_from_start(file), map_location="cpu", weights_only=False)
    except Exception:
        checkpoint = {}
    names = [key for key, value in checkpoint.items() if not loads(value)]
    entries = f"entries {', '.join(map(repr, names))}" if names else "entries"
    classes = torch.serialization.get_unsafe_globals_in_checkpoint(_from_start(file))
    return entries, f"they need {', '.join(sorted(classes))}" if classes else "they hold others"


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
