"""The buffers that a module registers with ``persistent=False`` and changes while it trains.

A memory bank of earlier embeddings is often such a buffer. A checkpoint of Lightning's does not hold it, so that a
promoted trial would go on with an empty one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor, nn
from typing_extensions import override

from lightning_primo.training.checkpoint.late_state import LateState

Buffers = dict[str, dict[str, dict[str, Any]]]
"""By the module's name and the buffer's: what it is now (``"now"``), and how it was before the fit (``"start"``)."""


class UnsavedBuffers(LateState):
    """Keeps in checkpoints the buffers that no state dict holds, as far as they have changed since the fit began.

    They are put back where the module that goes on begins with a buffer of the same shape and type as the one that was
    saved did, and with the same value where that is one number: another one comes from another hyperparameter.
    """

    def __init__(self) -> None:
        super().__init__()
        self._start: dict[tuple[str, str], _Start] = {}

    @property
    @override
    def state_key(self) -> str:
        return "lightning_primo.unsaved_buffers"

    @override
    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        super().on_fit_start(trainer, pl_module)
        self._start = {(path, name): _Start.of(buffer) for path, _, name, buffer in _unsaved(pl_module)}

    @override
    def state(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> Buffers:
        changed: Buffers = {}
        for path, _, name, buffer in _unsaved(pl_module):
            start = self._start.get((path, name), _NONE)
            if not start.is_still(buffer):
                now = None if buffer is None else buffer.detach().as_subclass(Tensor).to("cpu", copy=True)
                changed.setdefault(path, {})[name] = {"now": now, "start": start.seen}
        return changed

    @override
    def put_back(self, pl_module: pl.LightningModule, state: Buffers) -> None:
        for path, part, name, buffer in list(_unsaved(pl_module)):
            kept = state.get(path, {}).get(name)
            if kept is None or kept["start"] != self._start.get((path, name), _NONE).seen:
                continue
            now: Tensor | None = kept["now"]
            if now is not None and buffer is not None and _holds(buffer, now):
                buffer.detach().copy_(now)  # other modules may refer to the same
                continue
            device = pl_module.device if buffer is None else buffer.device
            part._buffers[name] = None if now is None else now.to(device, copy=True)


@dataclass(frozen=True)
class _Start:
    """A buffer as it was before the fit.

    Args:
        buffer: It, or what is left of it.
        version: How often it had been written to.
        seen: Shape, type and the one number in it, if it is one, as text; None where there was no buffer.
    """

    buffer: Tensor | None
    version: int
    seen: str | None

    @classmethod
    def of(cls, buffer: Tensor | None) -> _Start:
        if buffer is None:
            return _NONE
        number = f" {buffer.item()}" if buffer.numel() == 1 and not buffer.is_meta else ""
        return cls(buffer, _version(buffer), f"{tuple(buffer.shape)} {buffer.dtype}{number}")

    def is_still(self, buffer: Tensor | None) -> bool:
        if self.buffer is None or buffer is None:
            return self.buffer is buffer
        if self.buffer is buffer:
            return self.version >= 0 and self.version == _version(buffer)
        alike = self.version == _version(self.buffer) >= 0 and self.buffer.shape == buffer.shape
        return alike and self.buffer.dtype == buffer.dtype and torch.equal(self.buffer, buffer.to(self.buffer.device))


_NONE = _Start(None, 0, None)


def _holds(buffer: Tensor, value: Tensor) -> bool:
    """Whether a value can be written into a buffer."""
    alike = buffer.shape == value.shape and buffer.dtype == value.dtype
    return alike and buffer.is_contiguous() and not buffer.is_inference()


def _version(tensor: Tensor) -> int:
    """How often a tensor was written to; -1 where torch does not count that."""
    return -1 if tensor.is_inference() else tensor._version


def _unsaved(module: nn.Module) -> Iterator[tuple[str, nn.Module, str, Tensor | None]]:
    """The buffers that no state dict has: their module's name, their module, their name, and what they are."""
    for path, part in module.named_modules():
        for name in sorted(part._non_persistent_buffers_set):
            yield path, part, name, part._buffers.get(name)
