"""Training with less memory: every batch in several parts, the gradients accumulated over them."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import Callback, GradientAccumulationScheduler
from lightning.pytorch.utilities.combined_loader import CombinedLoader
from typing_extensions import override

from lightning_primo.callbacks.validation_at_steps import validates_at_steps
from lightning_primo.checks import check_whole
from lightning_primo.errors import MicroBatchError
from lightning_primo.training.out_of_memory.micro_batch_sampler import (
    MicroBatchSampler,
    divided,
    limit_on_batches,
    require_aligned,
)


class MicroBatches(Callback):
    """Trains with every batch in `parts` parts, which takes less memory and leaves the training what it is.

    The optimizers see the same batches: the same samples in the same order, the gradients of a batch's parts summed up
    with the weights that they have in the batch's mean loss. The number of optimizer steps, learning-rate schedules,
    ``accumulate_grad_batches`` (or a `GradientAccumulationScheduler`), ``limit_train_batches`` and
    ``val_check_interval`` keep their meaning. What a module computes over the samples of a batch, such as batch
    normalisation, contrastive losses or metrics that are no means, it computes over those of a part. Validation batches
    are divided as well, at most into single samples.

    The loaders, the Trainer and its schedulers of accumulation are changed while the fit lasts, and put back after it.

    Args:
        parts: Micro-batches per batch; with 1 nothing is changed.

    Attributes:
        fitting: Whether the fit has come to its first batch.
        single_samples: Whether micro-batches of the training are as small as they can be.
        obstacle: Why more parts cannot help against what ended the fit; None if they may.

    Raises:
        InvalidArgumentError: If `parts` is not a whole number of at least 1.
        MicroBatchError: In a fit whose batches cannot be divided so: the module optimises manually, a batch has fewer
            samples than `parts`, or is not put together by a `BatchSampler`, a stream (an `IterableDataset`) has a
            length, several workers or no ``drop_last=True``, or validation is counted in batches over all epochs.
    """

    def __init__(self, parts: int) -> None:
        self.parts = check_whole("parts", parts, least=1)
        self.fitting = False
        self.single_samples = False
        self.obstacle: str | None = None
        self._before: list[tuple[dict[str, Any], str, Any]] = []
        self._requested: tuple[str, float, int] = ("", 1.0, 0)
        self._processed: list[Any] = []
        self._sampler: MicroBatchSampler | None = None
        self._weight = 1.0
        self._val_check_every: int | None = None
        self._whole_validation: str | None = None

    @override
    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        self.fitting = self.single_samples = False
        self.obstacle = self._whole_validation = None
        if stage != "fit" or self.parts == 1:
            return
        if not pl_module.automatic_optimization:
            raise MicroBatchError(
                f"{type(pl_module).__name__} optimises manually, so gradients cannot be accumulated for it"
            )
        counts_batches = trainer.check_val_every_n_epoch is None and isinstance(trainer.val_check_interval, int)
        if counts_batches and not validates_at_steps(trainer):
            raise MicroBatchError(
                f"'val_check_interval' = {trainer.val_check_interval} counts batches over all epochs where "
                "'check_val_every_n_epoch' is None; set the latter to a number, or the interval to a time"
            )
        self._put(trainer, "accumulate_grad_batches", trainer.accumulate_grad_batches * self.parts)
        for scheduler in _accumulation_schedulers(trainer):
            self._put(scheduler, "scheduling", {epoch: n * self.parts for epoch, n in scheduler.scheduling.items()})
        fit_loop = trainer.fit_loop
        self._note_requests(fit_loop._data_source, "train", trainer.limit_train_batches)
        self._note_requests(fit_loop.epoch_loop.val_loop._data_source, "val", trainer.limit_val_batches)
        self._divide_what_is_processed(trainer)

    @override
    def on_sanity_check_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.fitting = True

    @override
    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.fitting = True
        if self.parts == 1:
            return
        if _accumulation_schedulers(trainer):
            trainer.accumulate_grad_batches = 1  # what they insist on; they set it where an epoch starts
        for config in trainer.lr_scheduler_configs:
            if config.interval == "step" and config.frequency > 1:  # counted in batches
                self._put(config, "frequency", config.frequency * self.parts)

    @override
    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self.parts > 1 and not validates_at_steps(trainer):
            self._val_check_every = _val_check_every(trainer, self.parts)

    @override
    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        self._weight = 1.0 if self._sampler is None else self._sampler.weight(batch_idx)

    @override
    def on_before_backward(self, trainer: pl.Trainer, pl_module: pl.LightningModule, loss: torch.Tensor) -> None:
        if self._weight != 1.0:
            loss.mul_(self._weight)  # a tensor of Lightning's own: the loss over the number of accumulated batches

    @override
    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if self._val_check_every is not None:
            n_batches, rest = divmod(batch_idx + 1, self.parts)
            is_last = batch_idx + 1 == trainer.num_training_batches
            due = (rest == 0 or is_last) and (n_batches + (rest > 0)) % self._val_check_every == 0
            # Lightning validates where this divides the number of batches so far.
            trainer.val_check_batch = batch_idx + (1 if due else 2)

    @override
    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        self._restore(trainer)

    @override
    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        if trainer.validating or trainer.sanity_checking:
            self.obstacle = self._whole_validation
        self._restore(trainer)

    def _note_requests(self, source: Any, stage: str, limit: float) -> None:
        """Note when Lightning requests loaders from `source`, and how many there are."""
        request = source.dataloader

        @functools.wraps(request)
        def request_and_count() -> Any:
            loaders = request()
            combined = loaders if isinstance(loaders, CombinedLoader) else CombinedLoader(loaders)
            self._requested, self._processed = (stage, limit, len(combined.flattened)), []
            return loaders

        source.dataloader = request_and_count

    def _divide_what_is_processed(self, trainer: pl.Trainer) -> None:
        """Have the requested loaders divided after Lightning has made its own of them, such as those of each rank.

        It makes a new loader where it replaces a sampler, which it can only do with an ordinary `BatchSampler`.
        """
        strategy: Any = trainer.strategy
        process = strategy.process_dataloader

        @functools.wraps(process)
        def divide_and_process(loader: Any) -> Any:
            stage, limit, n = self._requested
            self._processed.append(loader)
            if len(self._processed) == n:
                try:
                    n_micro = self._divide(self._processed, limit, stage)
                    self._put(trainer, f"limit_{stage}_batches", n_micro)
                except MicroBatchError as error:
                    if stage == "train":
                        raise
                    self._whole_validation = str(error)
            return process(loader)

        strategy.process_dataloader = divide_and_process

    def _divide(self, loaders: Sequence[Any], limit: float, stage: str) -> float:
        """Divide the batches of `loaders`; the Trainer's limit on their number, in micro-batches."""
        training = stage == "train"
        n_micro = None if limit == 1.0 and isinstance(limit, float) else limit_on_batches(loaders, limit) * self.parts
        exactly = training or n_micro is not None
        divisions = [divided(loader, self.parts, stage, exactly=exactly) for loader in loaders]
        samplers = [sampler for sampler, _ in divisions]
        if training:
            if len(samplers) > 1:
                require_aligned(samplers)
            self._sampler = samplers[0] if len(samplers) == 1 else None
            self.single_samples = any(sampler.batch_size < 2 * self.parts for sampler in samplers)
        elif all(sampler.batch_size <= self.parts for sampler in samplers):
            self._whole_validation = "validation has come down to single samples"
        for loader, (_, attributes) in zip(loaders, divisions, strict=True):
            for name, value in attributes.items():
                self._put(loader, name, value)
        return limit if n_micro is None else n_micro

    def _put(self, owner: Any, name: str, value: Any) -> None:
        """Set an attribute while the fit lasts, also one that DataLoader forbids to assign."""
        attributes = vars(owner)
        self._before.append((attributes, name, attributes[name]))
        attributes[name] = value

    def _restore(self, trainer: pl.Trainer) -> None:
        fit_loop = trainer.fit_loop
        for source in (fit_loop._data_source, fit_loop.epoch_loop.val_loop._data_source):
            vars(source).pop("dataloader", None)
        vars(trainer.strategy).pop("process_dataloader", None)
        for attributes, name, value in reversed(self._before):
            attributes[name] = value
        self._before.clear()
        self._processed.clear()


def _accumulation_schedulers(trainer: pl.Trainer) -> list[GradientAccumulationScheduler]:
    callbacks = trainer.callbacks  # type: ignore[attr-defined]
    return [callback for callback in callbacks if isinstance(callback, GradientAccumulationScheduler)]


def _val_check_every(trainer: pl.Trainer, parts: int) -> int | None:
    """The number of batches between two validations; None where it is not counted in batches."""
    interval: Any = trainer.val_check_interval
    if trainer.val_check_batch in (None, math.inf):
        return None
    if isinstance(interval, int):
        return interval
    return max(1, int(math.ceil(trainer.num_training_batches / parts) * interval))
