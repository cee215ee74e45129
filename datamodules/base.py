"""What the data modules have in common: splits in memory, normalised with the training images' statistics."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import lightning.pytorch as pl
import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import DataLoader
from typing_extensions import override

from datamodules.in_memory import Batch, InMemoryDataset, RandomFlipCrop, in_memory_loader

EVAL_BATCH_SIZE = 128
"""Images per batch of validation and test: the result does not depend on it, and small batches would cost time."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ImageSplits:
    """Images, `n x channels x height x width` (uint8, or floats in [0, 1]), and labels, `n`, of the three splits.

    Treat the tensors as read-only: they are shared by every data module of the process.

    Args:
        train: For training; the statistics for the normalisation come from these images alone.
        val: For validation, which guides a search.
        test: For the final test.
        mean: Per channel, of the training images on the scale of [0, 1].
        std: Per channel, on the same scale.
    """

    train: Batch
    val: Batch
    test: Batch
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @classmethod
    def of(cls, train: Batch, val: Batch, test: Batch) -> ImageSplits:
        """The splits, with the statistics taken from `train`."""
        images = train[0]
        unit = 255 if images.dtype == torch.uint8 else 1
        # Channel by channel, so that the float copy stays small.
        statistics = [torch.std_mean(images[:, c].float() / unit, correction=0) for c in range(images.shape[1])]
        std, mean = (tuple(float(number) for number in numbers) for numbers in zip(*statistics, strict=True))
        return cls(train=train, val=val, test=test, mean=mean, std=std)

    def fold(self, i: int, k: int) -> ImageSplits:
        """The same with the `i`-th of `k` parts of what is not for the test as `val`, and the others as `train`.

        The parts are stratified by class, and always the same.
        """
        return _folded(self, i, k)


@lru_cache(maxsize=1)  # the folds of a trial come one after the other
def _folded(splits: ImageSplits, i: int, k: int) -> ImageSplits:
    images, labels = (torch.cat(pair) for pair in zip(splits.train, splits.val, strict=True))
    parts = stratified_split(labels.numpy(), [1 / k] * k, np.random.default_rng(k))
    others = np.sort(np.concatenate([part for number, part in enumerate(parts) if number != i]))
    train, val = ((images[indices], labels[indices]) for indices in (others, parts[i]))
    return ImageSplits.of(train, val, splits.test)


class InMemoryDataModule(pl.LightningDataModule, ABC):
    """Base of the data modules here: a subclass says in `splits` where its images come from.

    The images themselves are never attributes, so that a data module stays small when it is sent to another process;
    `splits` is expected to cache them per process.

    Attributes:
        n_classes: Number of classes.
        in_channels: Channels of the images.
        image_size: Height and width of the (square) images, in pixels.

    Args:
        batch_size: Images per training batch. The last batch of an epoch may be smaller: no image is left out.
        flip: Whether training images are mirrored left to right at random.
        crop_padding: Training images are shifted at random by up to this many pixels.
        num_workers: Processes that load the data; 0, in this process, is the fastest for images in memory.

    Raises:
        ValueError: For a batch size below 1 or a negative padding.
    """

    n_classes: int
    in_channels: int
    image_size: int

    def __init__(
        self, *, batch_size: int = 64, flip: bool = False, crop_padding: int = 0, num_workers: int = 0
    ) -> None:
        super().__init__()
        if batch_size < 1:
            raise ValueError(f"'batch_size' must be at least 1, got {batch_size}")
        self.batch_size = int(batch_size)
        self.num_workers = num_workers
        self.augment = RandomFlipCrop(flip=flip, padding=crop_padding) if flip or crop_padding else None
        self._fold: tuple[int, int] | None = None

    def fold(self, i: int, k: int) -> None:
        """Validate on the `i`-th of `k` folds of all images but those of the test, and train on the others."""
        self._fold = i, k

    @abstractmethod
    def splits(self) -> ImageSplits:
        """The images, the same object at every call in one process."""

    def _splits(self) -> ImageSplits:
        """The images of the fold that was chosen, if one was."""
        splits = self.splits()
        return splits if self._fold is None else splits.fold(*self._fold)

    @override
    def setup(self, stage: str) -> None:
        self._splits()

    @override
    def train_dataloader(self) -> DataLoader[Batch]:
        dataset = self._dataset(self._splits().train, self.augment)
        return in_memory_loader(dataset, self.batch_size, shuffle=True, num_workers=self.num_workers)

    @override
    def val_dataloader(self) -> DataLoader[Batch]:
        return self._eval_loader(self._splits().val)

    @override
    def test_dataloader(self) -> DataLoader[Batch]:
        return self._eval_loader(self._splits().test)

    @override
    def predict_dataloader(self) -> DataLoader[Batch]:
        return self.test_dataloader()

    def _eval_loader(self, split: Batch) -> DataLoader[Batch]:
        dataset = self._dataset(split, None)
        return in_memory_loader(dataset, EVAL_BATCH_SIZE, shuffle=False, num_workers=self.num_workers)

    def _dataset(self, split: Batch, augment: RandomFlipCrop | None) -> InMemoryDataset:
        splits = self._splits()
        return InMemoryDataset(*split, mean=splits.mean, std=splits.std, augment=augment)


def stratified_split(
    labels: npt.ArrayLike, fractions: Sequence[float], rng: np.random.Generator
) -> list[npt.NDArray[np.int64]]:
    """Splits at random such that every part has the classes in the proportions of the whole.

    Args:
        labels: `n` class indices.
        fractions: Share of each part; they sum to 1.
        rng: Draws the split.

    Returns:
        The sorted indices of each part. They are disjoint and together all of 0..n-1; per class, a part's size
        differs from its share by less than 1.

    Raises:
        ValueError: For fractions that are not positive or do not sum to 1.
    """
    if min(fractions, default=0) <= 0 or abs(sum(fractions) - 1) > 1e-9:
        raise ValueError(f"'fractions' must be positive and sum to 1, got {list(fractions)}")
    labels = np.asarray(labels)
    cuts = np.cumsum(fractions)[:-1]
    parts: list[list[npt.NDArray[np.int64]]] = [[] for _ in fractions]
    for label in np.unique(labels):
        members = rng.permutation(np.flatnonzero(labels == label))
        chunks = np.split(members, np.rint(cuts * len(members)).astype(int))
        for part, chunk in zip(parts, chunks, strict=True):
            part.append(chunk)
    return [np.sort(np.concatenate(part)) for part in parts]


def to_channels_first(images: npt.NDArray[np.uint8]) -> torch.Tensor:
    """`n x height x width x channels` as a contiguous tensor `n x channels x height x width`."""
    return torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2)))
