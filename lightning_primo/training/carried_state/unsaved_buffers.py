"""The buffers that a module registers with ``persistent=False`` and changes while it trains.

A memory bank of earlier embeddings is often such a buffer. A checkpoint of Lightning's does not hold it, so that a
promoted trial would go on with an empty one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor, nn
from typing_extensions import override

from lightning_primo.training.carried_state.late_state import LateState
from lightning_primo.training.carried_state.values.shared_tensors import Copies, Restored, is_apart

Buffers = dict[str, dict[str, dict[str, Any]]]
"""By the module's name and the buffer's: what it is ``"now"``, whether that was written into the one of the ``"start"``
(``"in_place"``), as whose text it stands there, and whether it is on the CPU ``"apart"`` from the module."""


class UnsavedBuffers(LateState):
    """Keeps in checkpoints the buffers that no state dict holds, as far as they have changed since the fit began.

    They are put back where the module that goes on begins with a buffer of the same shape and type as the one that was
    saved did, and with the same value where that is one number: another one comes from another hyperparameter. Those
    that were one buffer stay one.
    """

    def __init__(self) -> None:
        super().__init__()
        self._start: dict[tuple[str, str], _Start] = {}

    @property
    @override
    def state_key(self) -> str:
        return "lightning_primo.buffers"

    @override
    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        super().on_fit_start(trainer, pl_module)
        self._start = {(path, name): _Start.of(buffer) for path, _, name, buffer in _unsaved(pl_module)}

    @override
    def begin(self, pl_module: pl.LightningModule) -> None:
        for path, _, name, buffer in _unsaved(pl_module):  # those that a hook has made which begins the training
            self._start.setdefault((path, name), _Start.of(buffer))

    @override
    def state(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> Buffers:
        copies, changed = Copies(), set()
        for path, _, name, buffer in _unsaved(pl_module):
            if not self._start.get((path, name), _NONE).is_still(buffer):
                changed.add(id(buffer) if buffer is not None else (path, name))
        state: Buffers = {}
        for path, _, name, buffer in _unsaved(pl_module):
            if {id(buffer), (path, name)}.isdisjoint(changed):
                continue
            start = self._start.get((path, name), _NONE)
            state.setdefault(path, {})[name] = {
                "now": None if buffer is None else copies.of(buffer),
                "in_place": buffer is start.buffer,
                "start": start.seen,
                "apart": buffer is not None and is_apart(buffer, pl_module.device),
            }
        return state

    @override
    def names(self, state: Buffers) -> Iterable[str]:
        return (f"{path}.{name}".lstrip(".") for path, buffers in state.items() for name in buffers)

    @override
    def put_back(self, pl_module: pl.LightningModule, state: Buffers) -> None:
        restored = Restored(pl_module.device)
        for in_place in (True, False):
            for path, part, name, buffer in list(_unsaved(pl_module)):
                kept = state.get(path, {}).get(name)
                if kept is None or kept["in_place"] is not in_place:
                    continue
                if kept["start"] != self._start.get((path, name), _NONE).seen:
                    continue
                now: Tensor | None = kept["now"]
                if now is not None:
                    now = restored.of(now, into=buffer if in_place else None, apart=kept["apart"])
                part._buffers[name] = now


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


def _version(tensor: Tensor) -> int:
    """How often a tensor was written to; -1 where torch does not count that."""
    return -1 if tensor.is_inference() else tensor._version


def _unsaved(module: nn.Module) -> Iterator[tuple[str, nn.Module, str, Tensor | None]]:
    """The buffers that no state dict has: their module's name, their module, their name, and what they are."""
    for path, part in module.named_modules():
        for name in sorted(part._non_persistent_buffers_set):
            yield path, part, name, part._buffers.get(name)
