"""The validation of a module with what is deployed in place of its ``forward``."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.loggers.logger import DummyLogger
from lightning.pytorch.utilities.model_helpers import is_overridden
from torch import nn
from torchmetrics import Metric

from lightning_primo.errors import NotDeployableError
from lightning_primo.measure.inputs import first_sample, to_device
from lightning_primo.measure.isolation import copied, isolated, rng_kept
from lightning_primo.objectives.example_inputs import fit_batches, fit_inputs
from lightning_primo.runtimes.deployable_runtime import DeployableRuntime
from lightning_primo.runtimes.runtime import Program

_CPU = torch.device("cpu")
_HOOKS = ("on_before_batch_transfer", "transfer_batch_to_device", "on_after_batch_transfer")


def validate_deployed(
    trainer: pl.Trainer, pl_module: pl.LightningModule, runtime: DeployableRuntime
) -> dict[str, float]:
    """What the validation of the deployed network logs.

    It runs on a copy of the module, on the CPU, over as many batches as the Trainer validates. Module, Trainer, data
    and random state stay as they are.

    Args:
        trainer: Of a fit, whose validation data are set up.
        pl_module: Its module.
        runtime: What computes.

    Raises:
        NotDeployableError: If the runtime cannot take the module, or its ``validation_step`` does not go through its
            ``forward``.
    """
    data = trainer.datamodule  # type: ignore[attr-defined]
    with rng_kept(pl_module.device), TemporaryDirectory(prefix="lightning_primo-") as folder:
        inputs = to_device(first_sample(fit_inputs(trainer, pl_module)), _CPU)
        calibration = [to_device(batch, _CPU) for batch in fit_batches(trainer, pl_module, runtime.n_calibration)]
        module: Any = copied(pl_module, device=_CPU).eval()
        program = runtime.prepare(module, inputs, directory=Path(folder), calibration=calibration)
        for child in module.modules():
            if isinstance(child, Metric):
                child.reset()
        if data is not None:
            for hook in _HOOKS:
                if is_overridden(hook, data):
                    setattr(module, hook, getattr(data, hook))
        nested = pl.Trainer(
            accelerator="cpu",
            devices=1,
            logger=DummyLogger() if trainer.loggers else False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            limit_val_batches=trainer.limit_val_batches,
        )
        nested.datamodule = None if data is None else _set_up_already(data)  # type: ignore[attr-defined]
        with isolated(pl_module, training=pl_module.training), _substituted(module, program):
            nested.validate(module, dataloaders=trainer.val_dataloaders, verbose=False)
        return {name: float(value) for name, value in nested.callback_metrics.items()}


def _set_up_already(data: pl.LightningDataModule) -> pl.LightningDataModule:
    """A shallow copy of `data` for the module to read, which Lightning neither sets up again nor tears down."""
    data = copy.copy(data)
    for hook in ("prepare_data", "setup", "teardown", "on_exception"):
        setattr(data, hook, lambda *_, **__: None)
    return data


@contextmanager
def _substituted(module: nn.Module, program: Program) -> Iterator[None]:
    """Let calls of `module` be calls of `program`, and refuse those of its layers.

    Raises:
        NotDeployableError: For a call of a layer that has weights, and on leaving where there was no call at all.
    """
    calls = 0

    def forward(*args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        calls += 1
        return program(kwargs if kwargs else args)

    def refuse(layer: nn.Module, _: Any) -> None:
        raise _passed_by(module, f"it calls {type(layer).__name__} itself")

    module.forward = forward
    for child in module.modules():
        if child is not module and any(True for _ in child.parameters(recurse=False)):
            child.register_forward_pre_hook(refuse)
    yield
    if calls == 0:
        raise _passed_by(module, "it never calls the module")


def _passed_by(module: nn.Module, how: str) -> NotDeployableError:
    name = type(module).__name__
    return NotDeployableError(
        f"the validation of {name} does not go through its forward ({how}), so what is deployed cannot take its place; "
        "let validation_step call self(inputs)"
    )
