"""Training with less memory: every batch in several parts, the gradients accumulated over them."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Sequence
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import Callback, GradientAccumulationScheduler
from lightning.pytorch.utilities.combined_loader import CombinedLoader
from torch.utils.data import BatchSampler, DataLoader, IterableDataset
from typing_extensions import override

from lightning_primo.checks import check_whole
from lightning_primo.errors import MicroBatchError


class MicroBatchSampler(BatchSampler):
    """The batches of a `BatchSampler`, each in `parts` consecutive parts whose sizes differ by at most one.

    Only a last batch that is smaller than the others may come in fewer parts: single samples, which batch normalisation
    cannot be trained on, are avoided.

    Args:
        sampler: Of the samples' indices.
        batch_size: Samples per batch, at least `parts`.
        drop_last: Whether a smaller last batch is left out.
        parts: Parts per batch.
    """

    def __init__(self, sampler: Any, batch_size: int, drop_last: bool, parts: int) -> None:
        super().__init__(sampler, batch_size, drop_last)
        self.parts = parts

    @override
    def __iter__(self) -> Iterator[list[int]]:
        for batch in super().__iter__():
            stop = 0
            for size in self._sizes(len(batch)):
                start, stop = stop, stop + size
                yield batch[start:stop]

    @override
    def __len__(self) -> int:
        n_full, rest = divmod(len(self.sampler), self.batch_size)  # type: ignore[arg-type]
        return n_full * self.parts + (0 if self.drop_last else self.n_parts(rest))

    def n_parts(self, size: int) -> int:
        """In how many parts a batch of `size` samples comes."""
        if size in (0, self.batch_size):
            return self.parts if size else 0
        return max(1, min(self.parts, size // min(2, self.batch_size // self.parts)))

    def weight(self, index: int) -> float:
        """The share of micro-batch `index` in its batch, times `parts`: 1 where the parts are equal."""
        batch, part = divmod(index, self.parts)
        size = self.batch_size
        if hasattr(self.sampler, "__len__"):
            size = min(size, len(self.sampler) - batch * self.batch_size)  # type: ignore[arg-type]
        return self.parts * self._sizes(size)[part] / size

    def _sizes(self, size: int) -> list[int]:
        n_parts = self.n_parts(size)
        least, n_larger = divmod(size, n_parts)
        return [least + (part < n_larger) for part in range(n_parts)]


class MicroBatches(Callback):
    """Trains with every batch in `parts` parts, which takes less memory and leaves the training what it is.

    The optimizers see the same batches: the same samples in the same order, the gradients of a batch's parts summed up
    with the weights that they have in the batch's mean loss. The number of optimizer steps, learning-rate schedules,
    ``accumulate_grad_batches`` (or a `GradientAccumulationScheduler`), ``limit_train_batches`` and
    ``val_check_interval`` keep their meaning. What a module computes over the samples of a batch, such as batch
    normalisation, contrastive losses or metrics that are no means, it computes over those of a part. Validation batches
    are divided as well, at most into single samples.

    The loaders are changed while the fit lasts, and put back after it.

    Args:
        parts: Micro-batches per batch; with 1 nothing is changed.

    Attributes:
        fitting: Whether the fit has come to its first batch.
        single_samples: Whether micro-batches of the training are as small as they can be.
        obstacle: Why more parts cannot help against what ended the fit; None if they may.

    Raises:
        InvalidArgumentError: If `parts` is not a whole number of at least 1.
        MicroBatchError: In a fit whose batches cannot be divided so: the module optimises manually, a batch has fewer
            samples than `parts`, or is not put together by a `BatchSampler`.
    """

    def __init__(self, parts: int) -> None:
        self.parts = check_whole("parts", parts, least=1)
        self.fitting = False
        self.single_samples = False
        self.obstacle: str | None = None
        self._replaced: list[tuple[DataLoader[Any], str, Any]] = []
        self._sampler: MicroBatchSampler | None = None
        self._weight = 1.0
        self._val_check_every: int | None = None
        self._whole_validation: str | None = None

    @override
    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        if stage != "fit" or self.parts == 1:
            return
        if not pl_module.automatic_optimization:
            raise MicroBatchError(
                f"{type(pl_module).__name__} optimises manually, so gradients cannot be accumulated for it"
            )
        trainer.accumulate_grad_batches *= self.parts
        for scheduler in _accumulation_schedulers(trainer):
            scheduler.scheduling = {epoch: n * self.parts for epoch, n in scheduler.scheduling.items()}
        fit_loop = trainer.fit_loop
        self._divide(fit_loop._data_source, trainer, "train")
        self._divide(fit_loop.epoch_loop.val_loop._data_source, trainer, "val")

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
                config.frequency *= self.parts

    @override
    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self.parts == 1:
            return
        loader = trainer.train_dataloader
        self._sampler = _micro_batches(loader) if isinstance(loader, DataLoader) else None
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

    def _divide(self, source: Any, trainer: pl.Trainer, stage: str) -> None:
        """Have the loaders that Lightning gets from `source` divided."""
        request = source.dataloader
        limit = f"limit_{stage}_batches"
        limited_to = getattr(trainer, limit)

        @functools.wraps(request)
        def request_and_divide() -> Any:
            loaders = request()
            flattened = loaders if isinstance(loaders, CombinedLoader) else CombinedLoader(loaders)
            try:
                setattr(trainer, limit, self._divide_loaders(flattened.flattened, limited_to, stage))
            except MicroBatchError as error:
                if stage == "train":
                    raise
                self._whole_validation = str(error)
            return loaders

        source.dataloader = request_and_divide

    def _divide_loaders(self, loaders: Sequence[Any], limit: float, stage: str) -> float:
        """Divide the batches of `loaders`; the Trainer's limit on their number, in micro-batches."""
        training = stage == "train"
        n_micro = None if limit == 1.0 and isinstance(limit, float) else _limit(loaders, limit) * self.parts
        samplers = [_divided(loader, self.parts, stage, exactly=training or n_micro is not None) for loader in loaders]
        if training and len(loaders) > 1:
            _require_aligned([sampler for _, sampler in samplers])
        if training:
            self.single_samples = any(sampler.batch_size < 2 * self.parts for _, sampler in samplers)
        elif all(sampler.batch_size <= self.parts for _, sampler in samplers):
            self._whole_validation = "validation has come down to single samples"
        for loader, (name, sampler) in zip(loaders, samplers, strict=True):
            if vars(loader)[name] is not sampler:
                self._replaced.append((loader, name, vars(loader)[name]))
                _put(loader, name, sampler)
        return limit if n_micro is None else n_micro

    def _restore(self, trainer: pl.Trainer) -> None:
        fit_loop = trainer.fit_loop
        for source in (fit_loop._data_source, fit_loop.epoch_loop.val_loop._data_source):
            vars(source).pop("dataloader", None)
        for loader, name, sampler in reversed(self._replaced):
            _put(loader, name, sampler)
        self._replaced.clear()


def _put(loader: DataLoader[Any], name: str, sampler: Any) -> None:
    vars(loader)[name] = sampler  # which DataLoader forbids to assign
    vars(loader)["_iterator"] = None  # workers that outlive an epoch hold on to the sampler of before


def _micro_batches(loader: DataLoader[Any]) -> MicroBatchSampler | None:
    samplers = (loader.batch_sampler, loader.sampler)
    return next((sampler for sampler in samplers if isinstance(sampler, MicroBatchSampler)), None)


def _divided(loader: Any, parts: int, stage: str, *, exactly: bool) -> tuple[str, MicroBatchSampler]:
    """A sampler of the micro-batches of `loader`, and the attribute that it belongs in.

    Args:
        loader: Which may be divided already.
        parts: Per batch.
        stage: Of the loader, for the error.
        exactly: Whether fewer parts will not do.
    """
    what = f"the {stage} loader"
    if not isinstance(loader, DataLoader):
        raise MicroBatchError(f"{what} is a {type(loader).__name__}, not a DataLoader")
    name = "sampler" if loader.batch_sampler is None else "batch_sampler"
    sampler = vars(loader)[name]
    if isinstance(sampler, MicroBatchSampler):
        return name, sampler
    if not isinstance(sampler, BatchSampler) or type(sampler).__iter__ is not BatchSampler.__iter__:
        whose = "its dataset" if loader.batch_sampler is None else f"its {type(sampler).__name__}"
        raise MicroBatchError(f"{what} has batches of which {whose} alone knows how they are made")
    if isinstance(loader.dataset, IterableDataset):
        _check_stream(loader, what)
    elif not hasattr(sampler.sampler, "__len__"):
        raise MicroBatchError(f"the {type(sampler.sampler).__name__} of {what} has no length")
    if exactly and sampler.batch_size < parts:
        raise MicroBatchError(f"{what} has {sampler.batch_size} samples in a batch")
    n_parts = min(parts, sampler.batch_size)
    return name, MicroBatchSampler(
        sampler=sampler.sampler, batch_size=sampler.batch_size, drop_last=sampler.drop_last, parts=n_parts
    )


def _check_stream(loader: DataLoader[Any], what: str) -> None:
    """The samples of a stream go to the batches in the order in which these are asked for."""
    if loader.num_workers > 1:
        raise MicroBatchError(f"{what} has an IterableDataset in several workers, each of which fills its own batches")
    if loader.drop_last or hasattr(loader.dataset, "__len__"):
        raise MicroBatchError(f"{what} has an IterableDataset whose number of batches would change")


def _limit(loaders: Sequence[Any], limit: float) -> int:
    """The number of batches that the Trainer's limit allows, which must be the same for all loaders."""
    if isinstance(limit, int):
        return limit
    numbers = {int(_length(loader) * limit) for loader in loaders}
    if len(numbers) != 1:
        raise MicroBatchError(f"a limit of {limit} means another number of batches for each loader")
    return numbers.pop()


def _length(loader: Any) -> int:
    sampler = _micro_batches(loader) if isinstance(loader, DataLoader) else None
    return len(loader) if sampler is None else math.ceil(len(sampler) / sampler.parts)


def _require_aligned(samplers: Sequence[MicroBatchSampler]) -> None:
    """With several loaders a last batch of fewer parts may come in the middle of an epoch."""
    for sampler in samplers:
        if not hasattr(sampler.sampler, "__len__"):
            raise MicroBatchError("one of several train loaders has no length")
        rest = 0 if sampler.drop_last else len(sampler.sampler) % sampler.batch_size  # type: ignore[arg-type]
        if rest and sampler.n_parts(rest) < sampler.parts:
            raise MicroBatchError(f"the last batch of a train loader has only {rest} samples")


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
