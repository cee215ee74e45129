"""scikit-learn's handwritten digits, which come with the package: 1797 images of 8 x 8 pixels in grey."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt
import torch
from sklearn.datasets import load_digits
from typing_extensions import override

from datamodules.base import ImageSplits, InMemoryDataModule, stratified_split
from datamodules.in_memory import Batch


class Digits(InMemoryDataModule):
    """The digits, split 60/20/20 into training, validation and test, stratified by class.

    Args:
        batch_size: Images per training batch.
        seed: Determines the split.
        flip: Whether training images are mirrored left to right at random (which a digit rarely survives).
        crop_padding: Training images are shifted at random by up to this many pixels.
        num_workers: Processes that load the data.
    """

    n_classes = 10
    in_channels = 1
    image_size = 8

    def __init__(
        self, batch_size: int = 64, *, seed: int = 0, flip: bool = False, crop_padding: int = 0, num_workers: int = 0
    ) -> None:
        super().__init__(batch_size=batch_size, flip=flip, crop_padding=crop_padding, num_workers=num_workers)
        self.seed = seed

    @override
    def splits(self) -> ImageSplits:
        return _load(self.seed)


@lru_cache(maxsize=4)
def _load(seed: int) -> ImageSplits:
    pixels, classes = load_digits(return_X_y=True)
    images = torch.from_numpy(pixels).float().div_(16).view(-1, 1, 8, 8)
    labels = torch.from_numpy(classes).long()

    def part(indices: npt.NDArray[np.int64]) -> Batch:
        return images[indices], labels[indices]

    train, val, test = stratified_split(classes, (0.6, 0.2, 0.2), np.random.default_rng(seed))
    return ImageSplits.of(part(train), part(val), part(test))
