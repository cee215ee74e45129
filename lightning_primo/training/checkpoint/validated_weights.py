"""Whether the weights that a checkpoint keeps are those that were validated.

A schedule-free optimiser validates with other weights than it trains with, and goes back to these before the epoch
ends: what is compared is then not what is exported.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor
from typing_extensions import override

from lightning_primo.errors import CheckpointWarning
from lightning_primo.training.own_checkpoint import OwnCheckpoint

_NAMED = 3


class ValidatedWeights(OwnCheckpoint):
    """Warns by a CheckpointWarning where a checkpoint behind a validation has other weights than that validation.

    It is a `Checkpoint` so that callbacks that put other weights into a checkpoint, as those that average them, have
    done so. Of a training in several processes nothing is said, as each may hold a part.
    """

    def __init__(self) -> None:
        self._step = -1
        self._validated: dict[str, float] = {}

    @override
    def on_validation_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        if batch_idx or dataloader_idx or trainer.state.fn != TrainerFn.FITTING or trainer.world_size > 1:
            return
        self._step = trainer.global_step
        self._validated = _sums(dict(pl_module.named_parameters()))

    @override
    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        if trainer.global_step != self._step or trainer.sanity_checking:
            return
        weights = checkpoint["state_dict"]
        kept = _sums({name: weights[name] for name in self._validated if isinstance(weights.get(name), Tensor)})
        other = [name for name, total in kept.items() if not _close(total, self._validated[name])]
        if other:
            more = f" and {len(other) - _NAMED} others" if len(other) > _NAMED else ""
            _warn(type(pl_module).__name__, ", ".join(map(repr, other[:_NAMED])) + more)


def _sums(tensors: Mapping[str, Tensor]) -> dict[str, float]:
    known = {name: tensor.detach() for name, tensor in tensors.items() if tensor.is_floating_point()}
    known = {name: tensor for name, tensor in known.items() if not tensor.is_meta and tensor.numel()}
    if not known:
        return {}
    device = next(iter(known.values())).device
    totals = torch.stack([tensor.sum(dtype=torch.float64).to(device) for tensor in known.values()]).tolist()
    return dict(zip(known, totals, strict=True))


def _close(one: float, other: float) -> bool:
    return abs(one - other) <= 1e-9 * max(1.0, abs(one), abs(other)) or (one != one and other != other)


@functools.cache
def _warn(module: str, names: str) -> None:
    rank_zero_warn(
        f"the weights that {module} was validated with are not those that its checkpoints and exports have: {names} "
        "changed behind the validation, as where a schedule-free optimiser goes back to its training weights in "
        "on_validation_epoch_end, so that trials are compared by other weights than they come with; leave the "
        "validated weights in place until the next epoch begins (on_train_epoch_start)",
        category=CheckpointWarning,
    )
