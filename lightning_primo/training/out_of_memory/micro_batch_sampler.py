"""Batches that come in several parts: the sampler of the parts, and whether a loader can have one."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Any

from torch.utils.data import BatchSampler, DataLoader, IterableDataset
from typing_extensions import override

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


class WholeBatches(IterableDataset[Any]):
    """The samples of a stream without those of a smaller last batch.

    Args:
        dataset: The stream.
        batch_size: Samples per batch.
    """

    def __init__(self, dataset: IterableDataset[Any], batch_size: int) -> None:
        self.dataset = dataset
        self.batch_size = batch_size

    @override
    def __iter__(self) -> Iterator[Any]:
        samples = iter(self.dataset)
        while len(batch := list(itertools.islice(samples, self.batch_size))) == self.batch_size:
            yield from batch

    def __getattr__(self, name: str) -> Any:
        """What a training asks of its dataset, such as ``set_epoch``."""
        if name == "dataset" or name.startswith("__"):  # asked for where a copy is made, before there is a dataset
            raise AttributeError(name)
        return getattr(self.dataset, name)


def micro_batches_of(loader: DataLoader[Any]) -> MicroBatchSampler | None:
    """The sampler by which `loader` is divided; None if it is not."""
    samplers = (loader.batch_sampler, loader.sampler)
    return next((sampler for sampler in samplers if isinstance(sampler, MicroBatchSampler)), None)


def divided(loader: Any, parts: int, stage: str, *, exactly: bool) -> tuple[MicroBatchSampler, dict[str, Any]]:
    """A sampler of the micro-batches of `loader`, and the attributes of the loader that make it use them.

    Args:
        loader: Which may be divided already; then there is nothing to set.
        parts: Per batch.
        stage: Of the loader, ``train`` or ``val``.
        exactly: Whether fewer parts will not do.
    """
    what = f"the {stage} loader"
    if not isinstance(loader, DataLoader):
        raise MicroBatchError(f"{what} is a {type(loader).__name__}, not a DataLoader")
    name = "sampler" if loader.batch_sampler is None else "batch_sampler"
    sampler = vars(loader)[name]
    if isinstance(sampler, MicroBatchSampler):
        return sampler, {}
    if not isinstance(sampler, BatchSampler) or type(sampler).__iter__ is not BatchSampler.__iter__:
        whose = "its dataset" if loader.batch_sampler is None else f"its {type(sampler).__name__}"
        raise MicroBatchError(f"{what} has batches of which {whose} alone knows how they are made")
    if isinstance(loader.dataset, IterableDataset):
        _check_stream(loader, what, whole=stage == "train")
    elif not hasattr(sampler.sampler, "__len__"):
        raise MicroBatchError(f"the {type(sampler.sampler).__name__} of {what} has no length")
    if exactly and sampler.batch_size < parts:
        raise MicroBatchError(f"{what} has {sampler.batch_size} samples in a batch")
    micro_batches = MicroBatchSampler(
        sampler=sampler.sampler,
        batch_size=sampler.batch_size,
        drop_last=sampler.drop_last,
        parts=min(parts, sampler.batch_size),
    )
    # The iterator of persistent workers would go on with whole batches.
    attributes: dict[str, Any] = {name: micro_batches, "_iterator": None}
    if isinstance(loader.dataset, IterableDataset) and loader.drop_last:
        attributes["dataset"] = WholeBatches(loader.dataset, sampler.batch_size)
    return micro_batches, attributes


def _check_stream(loader: DataLoader[Any], what: str, *, whole: bool) -> None:
    """The samples of a stream go to the batches in the order in which these are asked for.

    Args:
        loader: Of a stream.
        what: Its name, for the error.
        whole: Whether all its batches must be of one size, as nobody knows which will be the last.
    """
    if loader.num_workers > 1:
        raise MicroBatchError(f"{what} has an IterableDataset in several workers, each of which fills its own batches")
    if hasattr(loader.dataset, "__len__"):
        raise MicroBatchError(f"{what} has an IterableDataset whose number of batches would change")
    if whole and not loader.drop_last:
        raise MicroBatchError(
            f"{what} has an IterableDataset whose last batch may be smaller than the others; 'drop_last=True' leaves "
            "it out"
        )


def limit_on_batches(loaders: Sequence[Any], limit: float) -> int:
    """The number of batches that the Trainer's limit allows, which must be the same for all loaders."""
    if isinstance(limit, int):
        return limit
    numbers = {int(_length(loader) * limit) for loader in loaders}
    if len(numbers) != 1:
        raise MicroBatchError(f"a limit of {limit} means another number of batches for each loader")
    number = numbers.pop()
    if number == 0:
        raise MicroBatchError(f"a limit of {limit} allows no batch")
    return number


def _length(loader: Any) -> int:
    sampler = micro_batches_of(loader) if isinstance(loader, DataLoader) else None
    return len(loader) if sampler is None else math.ceil(len(sampler) / sampler.parts)


def require_aligned(samplers: Sequence[MicroBatchSampler]) -> None:
    """With several loaders a last batch of fewer parts may come in the middle of an epoch."""
    for sampler in samplers:
        if not hasattr(sampler.sampler, "__len__"):
            raise MicroBatchError("one of several train loaders has no length")
        rest = 0 if sampler.drop_last else len(sampler.sampler) % sampler.batch_size  # type: ignore[arg-type]
        if rest and sampler.n_parts(rest) < sampler.parts:
            raise MicroBatchError(f"the last batch of a train loader has only {rest} samples")
