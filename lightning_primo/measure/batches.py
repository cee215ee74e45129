"""Batches like those of a DataLoader, drawn without disturbing it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch.utils.data import DataLoader, IterableDataset

from lightning_primo.errors import NotMeasurableError
from lightning_primo.measure.inputs import REMEDY, map_tensors


def draws_one(loader: Any) -> bool:
    """Whether `sample_batch` draws single samples of `loader`, and not batches as somebody made them."""
    if isinstance(loader, Mapping):
        return all(map(draws_one, loader.values()))
    if isinstance(loader, (tuple, list)):
        return all(map(draws_one, loader))
    return isinstance(loader, DataLoader) and (loader.batch_size is not None or loader.batch_sampler is not None)


def sample_batch(loader: Any) -> Any:
    """A batch like those of `loader`, without disturbing it: it has one sample, and no iterator of `loader` is made.

    The samples come from the loader's dataset in this process, through its `collate_fn`; its sampler, its workers and
    its generator are left alone. Augmentation may draw from the global generators: wrap in `isolation.rng_kept`.

    Args:
        loader: A DataLoader, another iterable of batches, or these in nested lists, tuples and dicts.

    Raises:
        NotMeasurableError: If no batch can be drawn.
    """

    def draw(source: Any) -> Any:
        try:
            return next(_batches(source))
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
    sizes = isinstance(loader, DataLoader) and loader.batch_size is not None
    if not sizes or isinstance(loader.dataset, IterableDataset):
        return [sample_batch(loader)]
    drawn = DataLoader(
        loader.dataset,
        batch_size=loader.batch_size,
        shuffle=True,
        collate_fn=loader.collate_fn,
        generator=torch.Generator().manual_seed(0),
    )
    batches = [batch for _, batch in zip(range(n), drawn, strict=False)]
    return batches or [sample_batch(loader)]


def _batches(source: Any) -> Iterator[Any]:
    if isinstance(source, DataLoader):
        unbatched = source.batch_size is None and source.batch_sampler is None
        dataset: Any = source.dataset
        if isinstance(dataset, IterableDataset) and iter(dataset) is dataset:
            raise NotMeasurableError(f"the dataset is an iterator, so that drawing from it would use it up; {REMEDY}")
        return iter(
            DataLoader(
                dataset,
                batch_size=None if unbatched else 1,
                collate_fn=source.collate_fn,
                generator=torch.Generator(),
            )
        )
    if iter(source) is source:
        raise NotMeasurableError(f"the training data are an iterator, so drawing from it would use it up; {REMEDY}")
    return iter(source)
