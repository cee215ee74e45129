"""A module's own steps as functions of its weights and hyperparameters, without a trace in the module or the logs.

`torch.func.functional_call` puts tensors in the place of parameters and buffers while a step runs. What else a step may
change is put back: attributes of all submodules, with the contents of lists, dicts and sets among them, the states of
torchmetrics, training modes, the global generators; not what it changes elsewhere, or in place in a tensor that is
neither parameter nor buffer. What it logs goes nowhere: `self.log` of all LightningModules is
silent meanwhile, and the Trainer's loggers are dummies.

Attention is computed by the one kernel that can be differentiated twice.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.loggers.logger import DummyLogger
from lightning.pytorch.utilities.signature_utils import is_param_in_hook_signature
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.attention import SDPBackend, sdpa_kernel
from torchmetrics import Metric

from lightning_primo.checks import shown
from lightning_primo.errors import InvalidArgumentError
from lightning_primo.measure.isolation import rng_kept

_PREFIX = "module."


class _Step(nn.Module):
    """Gives `functional_call` a forward that is one of the module's steps."""

    def __init__(self, module: pl.LightningModule, name: str) -> None:
        super().__init__()
        self.module = module
        self.name = name

    def forward(self, *args: Any) -> Any:
        return getattr(self.module, self.name)(*args)


class FunctionalSteps:
    """`training_step` and `validation_step` of a module in a Trainer, as functions of tensors.

    Args:
        trainer: In whose fit this is.
        module: Its module.
    """

    def __init__(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self._trainer = trainer
        self._module = module

    def buffers(self) -> dict[str, Tensor]:
        """Copies of the module's buffers by name, for steps to change."""
        return {name: buffer.detach().clone() for name, buffer in self._module.named_buffers()}

    def training_loss(
        self, batch: Any, batch_idx: int, tensors: Mapping[str, Tensor], *, buffers: dict[str, Tensor] | None = None
    ) -> Tensor | None:
        """What `training_step` returns for a batch, with its graph, in the modes that the module is in.

        Args:
            batch: The batch, on the module's device.
            batch_idx: Its number in the epoch.
            tensors: What stands in the place of parameters and buffers, by name.
            buffers: The other buffers, which the step may change; None for copies of the module's.

        Returns:
            The loss, a scalar; None if the step returns none.
        """
        with self._untouched():
            output = self._call("training_step", (batch, batch_idx), tensors, buffers)
        return None if output is None else self._loss("training_step", output)

    def held_out_loss(self, batch: Any, tensors: Mapping[str, Tensor]) -> Tensor:
        """What `validation_step` returns for a batch, with its graph, in evaluation mode.

        Raises:
            InvalidArgumentError: If it returns no loss.
        """
        with self._untouched(), self._validating():
            self._module.eval()
            return self._loss("validation_step", self._call("validation_step", (batch, 0), tensors, None))

    def to_device(self, batch: Any) -> Any:
        """A batch of the validation's as the Trainer would give it to `validation_step`."""
        with self._validating():
            batch = self._trainer.precision_plugin.convert_input(batch)
            batch = self._module.on_before_batch_transfer(batch, 0)
            return self._trainer.strategy.batch_to_device(batch, dataloader_idx=0)

    def _call(
        self, name: str, args: tuple[Any, ...], tensors: Mapping[str, Tensor], buffers: dict[str, Tensor] | None
    ) -> Any:
        step = getattr(self._module, name)
        if not is_param_in_hook_signature(step, "batch_idx", min_args=2):
            args = args[:1]
        buffers = self.buffers() if buffers is None else buffers
        # Copies, as graphs of earlier steps may need what those have left.
        copies = {key: buffer.clone() for key, buffer in buffers.items() if key not in tensors}
        given = {f"{_PREFIX}{key}": value for key, value in {**copies, **tensors}.items()}
        try:
            return functional_call(_Step(self._module, name), given, args)
        finally:
            # A step may put new tensors in the place of buffers.
            buffers.update({key: given[_PREFIX + key].detach() for key in copies})

    def _loss(self, name: str, output: Any) -> Tensor:
        loss = output.get("loss") if isinstance(output, Mapping) else output
        if not isinstance(loss, Tensor) or loss.numel() != 1:
            raise InvalidArgumentError(
                f"{name!r} of {type(self._module).__name__} must return the loss to be differentiated, a scalar tensor "
                f"or a dict with the key 'loss', and returns {shown(output)}"
            )
        if not loss.requires_grad:
            raise InvalidArgumentError(
                f"the loss that {name!r} of {type(self._module).__name__} returns has no graph: return it without "
                "detach(), item() or torch.no_grad()"
            )
        return loss.reshape(())

    @contextmanager
    def _untouched(self) -> Iterator[None]:
        trainer = self._trainer
        loggers = trainer.loggers
        with (
            _attributes_kept(self._module),
            rng_kept(self._module.device),
            torch.enable_grad(),
            sdpa_kernel(SDPBackend.MATH),
            trainer.precision_plugin.train_step_context(),
        ):
            for child in self._module.modules():
                if isinstance(child, pl.LightningModule):
                    vars(child)["log"] = _into_nothing
            trainer.loggers = [DummyLogger() for _ in loggers]
            try:
                yield
            finally:
                trainer.loggers = loggers

    @contextmanager
    def _validating(self) -> Iterator[None]:
        stage = self._trainer.state.stage
        self._trainer.validating = True
        try:
            yield
        finally:
            self._trainer.state.stage = stage


def _into_nothing(*args: Any, **kwargs: Any) -> None:
    """In the place of `log`."""


@contextmanager
def _attributes_kept(module: nn.Module) -> Iterator[None]:
    """Put back on leaving the attributes of `module` and its submodules, and what containers among them hold."""
    kept: list[tuple[dict[str, Any], dict[str, Any], list[tuple[Any, Any]]]] = []
    for child in module.modules():
        own = vars(child)
        containers = [(value, value.copy()) for value in own.values() if isinstance(value, (list, dict, set, deque))]
        before = dict(own)
        if isinstance(child, Metric):  # which may add to its states in place
            before |= {name: value.detach().clone() for name, value in own.items() if isinstance(value, Tensor)}
        kept.append((own, before, containers))
    try:
        yield
    finally:
        for own, before, containers in kept:
            own.clear()
            own.update(before)
            for value, content in containers:
                value.clear()
                (value.extend if isinstance(value, (list, deque)) else value.update)(content)
