"""Batches like those of a DataLoader, drawn without disturbing it."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch.utils.data import BatchSampler, DataLoader, IterableDataset, RandomSampler

from lightning_primo.errors import NotMeasurableError
from lightning_primo.measure.inputs import REMEDY, map_tensors


def draws_one(loader: Any) -> bool:
    """Whether `sample_batch` draws single samples of `loader`, and not batches as somebody made them."""
    if isinstance(loader, Mapping):
        return all(map(draws_one, loader.values()))
    if isinstance(loader, (tuple, list)):
        return all(map(draws_one, loader))
    return isinstance(loader, DataLoader) and (_batched(loader) or _batched_by_dataset(loader))


def sample_batch(loader: Any) -> Any:
    """A batch like those of `loader`, without disturbing it: it has one sample, and no iterator of `loader` is made.

    The samples come from the loader's dataset in this process, through its `collate_fn`; its sampler, its workers and
    its generator are left alone. A dataset that takes no index is asked for what a copy of its sampler gives, such as
    a region of a map. Augmentation may draw from the global generators: wrap in `isolation.rng_kept`.

    Args:
        loader: A DataLoader, another iterable of batches, or these in nested lists, tuples and dicts.

    Raises:
        NotMeasurableError: If no batch can be drawn.
    """

    def draw(source: Any) -> Any:
        try:
            return _first_batch(source)
        except StopIteration:
            raise NotMeasurableError(f"the {type(source).__name__} of the training data is empty; {REMEDY}") from None
        except NotMeasurableError:
            raise
        except Exception as error:
            raise NotMeasurableError(
                f"no sample could be drawn from the {type(source).__name__} of the training data ({error!r}); {REMEDY}"
            ) from error

    return map_tensors(draw, loader, leaf=lambda item: not isinstance(item, (Mapping, list, tuple)))


def several_batches(loader: Any, n: int) -> list[Any]:
    """Up to `n` batches like those of `loader`, without disturbing it; one where it is no DataLoader of a dataset.

    Args:
        loader: As for `sample_batch`.
        n: Batches wanted.

    Raises:
        NotMeasurableError: If no batch can be drawn.
    """
    if not isinstance(loader, DataLoader) or isinstance(loader.dataset, IterableDataset):
        return [sample_batch(loader)]
    maker = loader.sampler if _batched_by_dataset(loader) else loader.batch_sampler
    size = getattr(maker, "batch_size", None)
    if not isinstance(size, int):
        return [sample_batch(loader)]
    dataset: Any = loader.dataset
    drawn_by = BatchSampler(RandomSampler(dataset, generator=torch.Generator().manual_seed(0)), size, False)
    by_loader = {"batch_sampler": drawn_by} if _batched(loader) else {"batch_size": None, "sampler": drawn_by}
    drawn = DataLoader(dataset, collate_fn=loader.collate_fn, **by_loader)
    try:
        batches = [batch for _, batch in zip(range(n), drawn, strict=False)]
    except Exception:
        if not _has_own_sampler(loader):
            raise
        keys = list(itertools.islice(_keys(loader), n))
        batches = list(_loader_of(loader, keys))
    return batches or [sample_batch(loader)]


def _first_batch(source: Any) -> Any:
    try:
        return next(_batches(source))
    except Exception:
        if not _has_own_sampler(source):
            raise
        key = next(_keys(source))
        return next(iter(_loader_of(source, [key[:1] if _batched(source) else key])))


def _has_own_sampler(source: Any) -> bool:
    """Whether a sampler that is none of torch's says what a dataset is asked for, which need be no index."""
    if not isinstance(source, DataLoader) or isinstance(source.dataset, IterableDataset):
        return False
    samplers = (source.sampler, source.batch_sampler, getattr(source.batch_sampler, "sampler", None))
    return not all(sampler is None or type(sampler).__module__.startswith("torch.") for sampler in samplers)


def _keys(loader: DataLoader[Any]) -> Iterator[Any]:
    """What a copy of a loader's sampler asks for: batches of keys where the loader makes batches."""
    sampler: Any = loader.batch_sampler if _batched(loader) else loader.sampler
    return iter(copy.deepcopy(sampler, {id(loader.dataset): loader.dataset}))


def _loader_of(loader: DataLoader[Any], keys: list[Any]) -> DataLoader[Any]:
    """What loads just `keys` in this process: batches of them where the loader makes batches."""
    by: dict[str, Any] = {"batch_sampler": keys} if _batched(loader) else {"batch_size": None, "sampler": keys}
    return DataLoader(loader.dataset, collate_fn=loader.collate_fn, generator=torch.Generator(), **by)


def _batches(source: Any) -> Iterator[Any]:
    if isinstance(source, DataLoader):
        dataset: Any = source.dataset
        if isinstance(dataset, IterableDataset) and iter(dataset) is dataset:
            raise NotMeasurableError(f"the dataset is an iterator, so that drawing from it would use it up; {REMEDY}")
        return iter(
            DataLoader(
                dataset,
                batch_size=1 if _batched(source) else None,
                sampler=[[0]] if _batched_by_dataset(source) else None,
                collate_fn=source.collate_fn,
                generator=torch.Generator(),
            )
        )
    if iter(source) is source:
        raise NotMeasurableError(f"the training data are an iterator, so drawing from it would use it up; {REMEDY}")
    return iter(source)


def _batched(loader: DataLoader[Any]) -> bool:
    """Whether a loader makes batches of single samples."""
    return loader.batch_size is not None or loader.batch_sampler is not None


def _batched_by_dataset(loader: DataLoader[Any]) -> bool:
    """Whether a loader asks its dataset for the samples of a batch at once, by a list of their indices."""
    return not _batched(loader) and isinstance(loader.sampler, BatchSampler)
