"""Checkpoints that are written where they belong, not by way of the directory for temporary files."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.plugins.io import TorchCheckpointIO
from lightning.pytorch.strategies import Strategy
from typing_extensions import override


@contextmanager
def written_in_place(strategy: Strategy) -> Iterator[None]:
    """Let `strategy` write checkpoints straight into the files that they are to be in.

    Lightning writes each into memory, then into a temporary file, and moves that: onto another file system it is copied
    once more, a small ``/tmp`` is full before the disk is, and what is killed on the way leaves the file there. A
    strategy with an input and output of the user's keeps that.

    Args:
        strategy: The Trainer's.
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
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            with target.open("wb") as file:  # of Python, whose errors say what is wrong with the disk
                torch.save(checkpoint, file)
        except BaseException:
            target.unlink(missing_ok=True)  # the disk is full enough
            raise
