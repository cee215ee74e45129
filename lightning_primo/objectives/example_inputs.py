"""What a module is called with to measure it, before there is a Trainer and in a fit.

That is its `example_input_array` if set, else the inputs of a batch of one sample of the train dataloader, passed
through the batch transfer hooks of the data module or module. The global generators are put back.
"""

from __future__ import annotations

from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.utilities.model_helpers import is_overridden

from lightning_primo.errors import NotMeasurableError
from lightning_primo.measure.inputs import REMEDY, model_inputs, sample_batch, to_device
from lightning_primo.measure.isolation import rng_kept


def example_inputs(module: pl.LightningModule, data: pl.LightningDataModule | None) -> Any:
    """The inputs before there is a Trainer, on the CPU if they are of a batch.

    Args:
        module: The module that is to be called.
        data: Its data, which are prepared and set up for this; None if the module makes its own.

    Raises:
        NotMeasurableError: If there is no such batch; the message says how to set `example_input_array`.
    """
    if module.example_input_array is not None:
        return module.example_input_array
    source = module if data is None else data
    try:
        with rng_kept():
            source.prepare_data()
            source.setup("fit")
            batch = sample_batch(source.train_dataloader())
            for hook in ("on_before_batch_transfer", "on_after_batch_transfer"):
                batch = _hooked(hook, batch, module, data)
    except NotMeasurableError:
        raise
    except Exception as error:
        raise NotMeasurableError(
            f"no batch of training data could be drawn to measure {type(module).__name__} with: "
            f"{type(error).__name__}: {error}; {REMEDY}"
        ) from error
    return model_inputs(batch, module)


def fit_inputs(trainer: pl.Trainer, pl_module: pl.LightningModule) -> Any:
    """The inputs in a fit, on the module's device.

    The dataloader's iterator, sampler, workers and generators are not touched.

    Raises:
        NotMeasurableError: If the dataloader yields nothing that can be taken for the inputs; the message says how
            to set `example_input_array`.
    """
    if pl_module.example_input_array is not None:
        return to_device(pl_module.example_input_array, pl_module.device)
    with rng_kept(pl_module.device):
        batch = trainer.precision_plugin.convert_input(sample_batch(trainer.train_dataloader))
        data = trainer.datamodule  # type: ignore[attr-defined]
        batch = _hooked("on_before_batch_transfer", batch, pl_module, data)
        batch = trainer.strategy.batch_to_device(batch, dataloader_idx=0)
    return model_inputs(batch, pl_module)


def _hooked(hook: str, batch: Any, module: pl.LightningModule, data: pl.LightningDataModule | None) -> Any:
    owner = data if data is not None and is_overridden(hook, data) else module
    return getattr(owner, hook)(batch, dataloader_idx=0)
