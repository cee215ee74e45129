"""What a module is called with to measure it before there is a Trainer."""

from __future__ import annotations

from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.utilities.model_helpers import is_overridden

from lightning_primo.errors import NotMeasurableError
from lightning_primo.measure.inputs import REMEDY, model_inputs, sample_batch
from lightning_primo.measure.isolation import rng_kept


def example_inputs(module: pl.LightningModule, data: pl.LightningDataModule | None) -> Any:
    """The module's `example_input_array` if set, else the inputs of a batch of one sample of the train dataloader.

    The batch passes through the batch transfer hooks of the data module or module, as in a fit, and stays on the CPU.
    The global generators are put back.

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
                owner = source if is_overridden(hook, source) else module
                batch = getattr(owner, hook)(batch, dataloader_idx=0)
    except NotMeasurableError:
        raise
    except Exception as error:
        raise NotMeasurableError(
            f"no batch of training data could be drawn to measure {type(module).__name__} with: "
            f"{type(error).__name__}: {error}; {REMEDY}"
        ) from error
    return model_inputs(batch, module)
