"""Knowledge distillation (Hinton et al. 2015) by the mean squared error between student's and teacher's logits."""

from __future__ import annotations

import types
from typing import Any

import lightning.pytorch as pl
import torch
from torch.nn.functional import mse_loss

from lightning_primo.errors import InvalidArgumentError

_REMEDY = "write distillation_step(self, batch, batch_idx, teacher), which returns the loss, in the LightningModule"


def distil(module: pl.LightningModule, teacher: pl.LightningModule) -> None:
    """Train `module` to give the logits of `teacher`: replaces the `training_step` of this one instance.

    The loss is what ``module.distillation_step(batch, batch_idx, teacher)`` returns, if the module has that method,
    else the mean squared error between ``module(inputs)`` and ``teacher(inputs)`` for a batch ``(inputs, ...)``. Its
    own method is also the place for what `training_step` else logs, which is then not called.

    The teacher is put into eval mode, needs no gradients any more, and follows `module` to its device. It is not a part
    of `module`: optimizers, checkpoints and the state dict do not see it. A training that is resumed from a checkpoint
    calls `distil` again.

    Args:
        module: The student, of automatic optimisation.
        teacher: Another trained module, with logits of the same shape.

    Raises:
        InvalidArgumentError: If `module` is its own teacher, or optimises manually; in the training, if a batch is not
            ``(inputs, ...)`` or the logits differ in shape.
    """
    name = type(module).__name__
    if module is teacher:
        raise InvalidArgumentError("'teacher' must be another module than 'module', got the same one")
    if not module.automatic_optimization:
        raise InvalidArgumentError(
            f"'module': {name} optimises manually (automatic_optimization = False), so its training_step cannot be "
            "replaced by a distillation; use automatic optimisation"
        )
    step = getattr(module, "distillation_step", None)
    if step is not None and not callable(step):
        raise InvalidArgumentError(f"'distillation_step' of {name} must be a method, got {step!r}; {_REMEDY}")
    teacher.freeze()

    def training_step(self: pl.LightningModule, batch: Any, batch_idx: int) -> Any:
        if (teacher.device, teacher.dtype) != (self.device, self.dtype):
            teacher.to(device=self.device, dtype=self.dtype)
        return _matching_loss(self, batch, teacher) if step is None else step(batch, batch_idx, teacher)

    # A bound method, as Lightning looks at its code to see whether `training_step` is overridden.
    module.training_step = types.MethodType(training_step, module)  # type: ignore[method-assign]


def _matching_loss(student: pl.LightningModule, batch: Any, teacher: pl.LightningModule) -> torch.Tensor:
    name = type(student).__name__
    if not isinstance(batch, (tuple, list)) or not batch:
        raise InvalidArgumentError(
            f"'module': the batches of {name} must be tuples (inputs, ...) to distil, got a {type(batch).__name__}; "
            f"{_REMEDY}"
        )
    logits = student(batch[0])
    with torch.no_grad():
        wanted = teacher(batch[0])
    if not (isinstance(logits, torch.Tensor) and isinstance(wanted, torch.Tensor) and logits.shape == wanted.shape):
        raise InvalidArgumentError(
            f"'teacher' must give logits of the same shape as the student {name}, got {_shape(wanted)} and "
            f"{_shape(logits)}; {_REMEDY}"
        )
    return mse_loss(logits, wanted)


def _shape(output: Any) -> str:
    return str(tuple(output.shape)) if isinstance(output, torch.Tensor) else f"a {type(output).__name__}"
