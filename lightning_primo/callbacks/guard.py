"""Giving up a training whose loss is no longer a number."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import Callback
from typing_extensions import override

from lightning_primo.checks import check_whole
from lightning_primo.errors import NonFiniteLossError


class NonFiniteGuard(Callback):
    """Raises NonFiniteLossError when the training loss becomes NaN or infinite.

    On the CPU and one process every step is checked. Elsewhere reading a value makes the host wait for the device, so
    the losses are summed up on the device, where NaN and infinity stay, and the sum is read every `every_n_steps`
    batches and at the end of each epoch. Under manual optimisation the loss is what `training_step` returns, a tensor
    or a dict with the key ``"loss"``; if it returns neither, the parameters are checked at the end of each epoch.

    Args:
        every_n_steps: Batches between two checks on an accelerator; at least 1.

    Raises:
        InvalidArgumentError: If `every_n_steps` is not a whole number of at least 1.
    """

    def __init__(self, *, every_n_steps: int = 50) -> None:
        self.every_n_steps = check_whole("every_n_steps", every_n_steps, least=1)
        self._sum: torch.Tensor | None = None
        self._seen_loss = False

    @override
    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._sum, self._seen_loss = None, False

    @override
    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        loss = outputs.get("loss") if isinstance(outputs, Mapping) else outputs
        if isinstance(loss, torch.Tensor):
            self._seen_loss = True
            loss = loss.detach()
            if loss.device.type == "cpu" and trainer.world_size == 1:
                if not (math.isfinite(loss.item()) if loss.numel() == 1 else bool(torch.isfinite(loss).all())):
                    self._fail(trainer, batch_idx)
                return
            total = loss.sum(dtype=torch.float32)
            self._sum = total if self._sum is None else self._sum + total
        if (batch_idx + 1) % self.every_n_steps == 0:
            self._check_sum(trainer, batch_idx)

    @override
    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._check_sum(trainer, None)
        if self._seen_loss:
            return
        trained = [parameter.detach() for parameter in pl_module.parameters() if parameter.requires_grad]
        finite = [torch.isfinite(parameter).all().to(pl_module.device) for parameter in trained]
        if _any_rank(trainer, bool(finite) and not torch.stack(finite).all().item()):
            raise NonFiniteLossError(
                f"parameters became NaN or infinite in epoch {trainer.current_epoch + 1}; training_step returns no loss"
            )

    def _check_sum(self, trainer: pl.Trainer, batch_idx: int | None) -> None:
        bad = self._sum is not None and not math.isfinite(self._sum.item())
        self._sum = None
        if _any_rank(trainer, bad):
            self._fail(trainer, batch_idx)

    @staticmethod
    def _fail(trainer: pl.Trainer, batch_idx: int | None) -> None:
        place = "" if batch_idx is None else f" by batch {batch_idx + 1}"
        raise NonFiniteLossError(
            f"the training loss became NaN or infinite in epoch {trainer.current_epoch + 1}{place}"
        )


def _any_rank(trainer: pl.Trainer, bad: bool) -> bool:
    """Whether any process found it bad; all then stop together, none waits for another."""
    if trainer.world_size == 1:
        return bad
    return bool(trainer.strategy.reduce_boolean_decision(bad, all=False))
