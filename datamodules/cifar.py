"""CIFAR-10 and CIFAR-100 (Krizhevsky 2009) through torchvision: 32 x 32 pixels in colour."""

from __future__ import annotations

import os
from contextlib import nullcontext
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from filelock import FileLock  # torch needs it too
from torchvision import datasets
from typing_extensions import override

from datamodules.base import ImageSplits, InMemoryDataModule, stratified_split, to_channels_first
from datamodules.in_memory import Batch


class CIFAR10(InMemoryDataModule):
    """CIFAR-10; the 50,000 training images are split into training and validation, stratified by class.

    Args:
        data_dir: torchvision's root: the directory with `cifar-10-batches-py`, or where to put it.
        batch_size: Images per training batch.
        val_fraction: Share of the training images that is held out for validation.
        seed: Determines that split.
        download: Whether to download the images (170 MB) if they are not there; one process does, others wait for it.
        flip: Whether training images are mirrored left to right at random.
        crop_padding: Training images are shifted at random by up to this many pixels.
        num_workers: Processes that load the data.

    Raises:
        FileNotFoundError: If the images are not there and could not be downloaded; raised by `prepare_data`, `setup`.
        ValueError: For a fraction outside of (0, 1).
    """

    n_classes = 10
    in_channels = 3
    image_size = 32
    source: type[datasets.CIFAR10] = datasets.CIFAR10

    def __init__(
        self,
        data_dir: str | os.PathLike[str],
        batch_size: int = 64,
        *,
        val_fraction: float = 0.1,
        seed: int = 0,
        download: bool = False,
        flip: bool = False,
        crop_padding: int = 0,
        num_workers: int = 0,
    ) -> None:
        super().__init__(batch_size=batch_size, flip=flip, crop_padding=crop_padding, num_workers=num_workers)
        if not 0 < val_fraction < 1:
            raise ValueError(f"'val_fraction' must lie strictly between 0 and 1, got {val_fraction}")
        self.data_dir = Path(data_dir).expanduser()
        self.val_fraction = val_fraction
        self.seed = seed
        self.download = download

    @override
    def prepare_data(self) -> None:
        self.splits()

    @override
    def splits(self) -> ImageSplits:
        try:
            return self._splits()
        except FileNotFoundError:
            if not self.download:
                raise
        _open(self.source, self.data_dir, train=True, download=True)
        return self._splits()

    def _splits(self) -> ImageSplits:
        modified = _modified(self.data_dir / self.source.base_folder)
        # mypy takes a class with an untyped base for unhashable.
        return _load(self.source, self.data_dir, modified, self.val_fraction, self.seed)  # type: ignore[arg-type]


class CIFAR100(CIFAR10):
    """CIFAR-100: as `CIFAR10`, with 100 classes, in `cifar-100-python`."""

    n_classes = 100
    source = datasets.CIFAR100


@lru_cache(maxsize=4)
def _load(
    source: type[datasets.CIFAR10], data_dir: Path, modified: int | None, val_fraction: float, seed: int
) -> ImageSplits:
    """The splits; `modified` is the files' last time of modification, so that new files are read anew."""
    training = _open(source, data_dir, train=True, download=False)
    testing = _open(source, data_dir, train=False, download=False)
    rng = np.random.default_rng(seed)
    train, val = stratified_split(training.targets, (1 - val_fraction, val_fraction), rng)
    return ImageSplits.of(_part(training, train), _part(training, val), _part(testing, np.arange(len(testing))))


def _open(source: type[datasets.CIFAR10], data_dir: Path, *, train: bool, download: bool) -> datasets.CIFAR10:
    try:
        if download:
            data_dir.mkdir(parents=True, exist_ok=True)
        # Of several processes the first downloads; for those that waited, torchvision then finds all files there.
        with FileLock(data_dir / f"{source.base_folder}.lock") if download else nullcontext():
            return source(data_dir, train=train, download=download)
    except (OSError, RuntimeError) as error:
        raise FileNotFoundError(
            f"no complete {source.__name__} in 'data_dir', {str(data_dir)!r} ({error}); unpack {source.filename} into "
            f"it, which makes {data_dir / source.base_folder}, or pass download=True, which needs a connection"
        ) from error


def _part(images: datasets.CIFAR10, indices: npt.NDArray[np.int64]) -> Batch:
    return to_channels_first(images.data[indices]), torch.tensor(images.targets)[indices]


def _modified(directory: Path) -> int | None:
    """The last time of modification of the files in `directory`, in ns; None if there are none."""
    return max((path.stat().st_mtime_ns for path in directory.glob("*")), default=None)
