"""Images held in memory and batched by indexing: one gather and one normalisation per batch, none per image.

`torch.utils.data.DataLoader` collects a batch image by image unless the dataset has `__getitems__`, which takes a whole
batch's indices. The loaders here are plain DataLoaders with their usual samplers, so everything that Lightning does to
a loader (distributed sampling, `overfit_batches`, prediction) works on them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.nn.functional import pad
from torch.utils.data import DataLoader, Dataset

Batch = tuple[torch.Tensor, torch.Tensor]


@dataclass(frozen=True, kw_only=True)
class RandomFlipCrop:
    """Augments a batch: each image its own horizontal flip and its own shift, from torch's global generator.

    Args:
        flip: Whether each image is mirrored left to right with probability 1/2.
        padding: Zeros put around the images, in pixels, before each is cropped back to its size at a random place.

    Raises:
        ValueError: For a negative padding.
    """

    flip: bool = True
    padding: int = 0

    def __post_init__(self) -> None:
        if self.padding < 0:
            raise ValueError(f"'padding' must be at least 0 pixels, got {self.padding}")

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """The augmented copy of `images`, `n x channels x height x width` of any dtype."""
        n, channels, height, width = images.shape
        rows = torch.arange(height).expand(n, height)
        columns = torch.arange(width).expand(n, width)
        if self.flip:
            mirrored = torch.rand(n, 1) < 0.5
            columns = torch.where(mirrored, columns.flip(1), columns)
        if self.padding:
            rows = rows + torch.randint(2 * self.padding + 1, (n, 1))
            columns = columns + torch.randint(2 * self.padding + 1, (n, 1))
            images = pad(images, (self.padding,) * 4)
        image = torch.arange(n).view(n, 1, 1, 1)
        channel = torch.arange(channels).view(1, channels, 1, 1)
        return images[image, channel, rows.view(n, 1, height, 1), columns.view(n, 1, 1, width)]


class InMemoryDataset(Dataset[Batch]):
    """Images and labels as tensors; gives single images by `[i]` and batches by `__getitems__`.

    Args:
        images: `n x channels x height x width`, on the CPU; uint8 in 0..255, or floats in [0, 1].
        labels: `n` class indices.
        mean: Per channel, of the images on the scale of [0, 1]; default 0.
        std: Per channel, on the same scale; default 1.
        augment: Applied to each batch of images as they are stored, before the normalisation.

    Raises:
        ValueError: For images of another shape or dtype, labels that do not match, or statistics that do not fit.
    """

    def __init__(
        self,
        images: torch.Tensor,
        labels: torch.Tensor,
        *,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        augment: RandomFlipCrop | None = None,
    ) -> None:
        if images.ndim != 4:
            raise ValueError(f"'images' must be n x channels x height x width, got the shape {tuple(images.shape)}")
        if images.dtype != torch.uint8 and not images.is_floating_point():
            raise ValueError(f"'images' must be uint8 or floats, got {images.dtype}")
        if labels.shape != images.shape[:1]:
            raise ValueError(f"'labels' must have the shape {(len(images),)}, got {tuple(labels.shape)}")
        channels = images.shape[1]
        mean_ = _per_channel("mean", mean, channels, 0.0)
        std_ = _per_channel("std", std, channels, 1.0)
        if not bool((std_ > 0).all()):
            raise ValueError(f"'std' must be positive for every channel, got {std_.flatten().tolist()}")
        self.images = images
        self.labels = labels.long()
        self.augment = augment
        unit = 255.0 if images.dtype == torch.uint8 else 1.0
        # (x / unit - mean) / std as x * scale + shift: two passes over the batch in place of three.
        self._scale = (1 / (unit * std_)).float()
        self._shift = (-mean_ / std_).float()

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Batch:
        images, labels = self.__getitems__([index])
        return images[0], labels[0]

    def __getitems__(self, indices: Sequence[int]) -> Batch:
        """A batch: `b x channels x height x width` normalised float32 images and their `b` int64 labels."""
        # Through NumPy a list becomes a tensor in half the time.
        index = torch.from_numpy(np.asarray(indices, dtype=np.int64))
        images = self.images.index_select(0, index)
        if self.augment is not None:
            images = self.augment(images)
        # In place: what was gathered is a copy already.
        return images.float().mul_(self._scale).add_(self._shift), self.labels.index_select(0, index)


def in_memory_loader(
    dataset: InMemoryDataset,
    batch_size: int,
    *,
    shuffle: bool,
    generator: torch.Generator | None = None,
    num_workers: int = 0,
) -> DataLoader[Batch]:
    """A DataLoader over `dataset` that fetches each batch by one indexing; the last batch may be smaller.

    Args:
        dataset: The images.
        batch_size: Images per batch.
        shuffle: Whether each epoch has a new order.
        generator: Draws the orders (and the seeds of the workers); default: torch's global generator.
        num_workers: Processes that load; 0, in this process, is the fastest for images in memory.

    Raises:
        ValueError: For a batch size below 1.
    """
    if batch_size < 1:
        raise ValueError(f"'batch_size' must be at least 1, got {batch_size}")
    return DataLoader(
        dataset,
        batch_size=int(batch_size),
        shuffle=shuffle,
        generator=generator,
        num_workers=num_workers,
        collate_fn=_already_a_batch,
    )


def _already_a_batch(batch: Any) -> Any:
    return batch


def _per_channel(name: str, values: Sequence[float] | None, channels: int, default: float) -> torch.Tensor:
    """`channels x 1 x 1` in double precision, so that the folded constants are rounded once."""
    numbers = [default] * channels if values is None else list(values)
    if len(numbers) != channels:
        raise ValueError(f"{name!r} must have one value per channel, {channels}, got {len(numbers)}")
    return torch.tensor(numbers, dtype=torch.float64).view(channels, 1, 1)
