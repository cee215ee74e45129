"""Oxford flowers: the 17 classes at 16 x 16 pixels, and the 102 classes at any size."""

from __future__ import annotations

import os
import tempfile
from contextlib import nullcontext
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from filelock import FileLock  # torch needs it too
from PIL import Image
from torchvision.datasets import Flowers102 as TorchvisionFlowers102
from torchvision.transforms.functional import center_crop, resize
from typing_extensions import override

from datamodules.base import ImageSplits, InMemoryDataModule, to_channels_first
from datamodules.in_memory import Batch

_SPLITS = ("train", "val", "test")
_KEYS = tuple(f"{part}_{split}" for split in _SPLITS for part in "xy")


class Flowers17(InMemoryDataModule):
    """Oxford Flowers-17 (Nilsback and Zisserman 2006) at 16 x 16 pixels, from one npz file.

    Args:
        data_dir: The directory with `flowers17_16x16_uint8.npz`, or with a subdirectory `flowers17` that has it. The
            file has the arrays `x_train`, `x_val`, `x_test`, each `n x 16 x 16 x 3` in uint8, and `y_train`, `y_val`,
            `y_test`, each `n` class indices in 0..16.
        batch_size: Images per training batch.
        flip: Whether training images are mirrored left to right at random.
        crop_padding: Training images are shifted at random by up to this many pixels.
        num_workers: Processes that load the data.

    Raises:
        FileNotFoundError: If the file is in neither place; raised by `prepare_data` and `setup`.
        ValueError: If the file's arrays are others than those above; raised by `prepare_data` and `setup`.
    """

    n_classes = 17
    in_channels = 3
    image_size = 16
    file_name = "flowers17_16x16_uint8.npz"

    def __init__(
        self,
        data_dir: str | os.PathLike[str],
        batch_size: int = 64,
        *,
        flip: bool = False,
        crop_padding: int = 0,
        num_workers: int = 0,
    ) -> None:
        super().__init__(batch_size=batch_size, flip=flip, crop_padding=crop_padding, num_workers=num_workers)
        self.data_dir = Path(data_dir).expanduser()

    @override
    def prepare_data(self) -> None:
        self.splits()

    @override
    def splits(self) -> ImageSplits:
        candidates = (self.data_dir / self.file_name, self.data_dir / "flowers17" / self.file_name)
        for path in candidates:
            if path.is_file():
                return _load_npz(path, path.stat().st_mtime_ns, self.image_size, self.n_classes)
        raise FileNotFoundError(
            f"'data_dir' must have the file {self.file_name}, got {str(self.data_dir)!r}; looked for "
            f"{' and '.join(str(path) for path in candidates)}. It is an npz with the arrays {', '.join(_KEYS)}: "
            "x n x 16 x 16 x 3 in uint8, y n class indices in 0..16"
        )


class Flowers102(InMemoryDataModule):
    """Oxford Flowers-102 (Nilsback and Zisserman 2008) in torchvision's split: 1020 / 1020 / 6149 images.

    The photographs are decoded once, resized so that the shorter side fits, cropped to the centre, and kept beside the
    originals as an npz file of that size.

    Args:
        data_dir: torchvision's root: the directory with `flowers-102`, or where to put it.
        batch_size: Images per training batch.
        image_size: Height and width in pixels.
        download: Whether to download the photographs (330 MB) if they are not there; one process does, others wait for
            it.
        flip: Whether training images are mirrored left to right at random.
        crop_padding: Training images are shifted at random by up to this many pixels.
        num_workers: Processes that load the data.

    Raises:
        FileNotFoundError: If there are no photographs and none could be downloaded; raised by `prepare_data`, `setup`.
        ValueError: For an image size below 1.
    """

    n_classes = 102
    in_channels = 3

    def __init__(
        self,
        data_dir: str | os.PathLike[str],
        batch_size: int = 64,
        *,
        image_size: int = 32,
        download: bool = False,
        flip: bool = False,
        crop_padding: int = 0,
        num_workers: int = 0,
    ) -> None:
        super().__init__(batch_size=batch_size, flip=flip, crop_padding=crop_padding, num_workers=num_workers)
        if image_size < 1:
            raise ValueError(f"'image_size' must be at least 1 pixel, got {image_size}")
        self.data_dir = Path(data_dir).expanduser()
        self.image_size = image_size
        self.download = download

    @property
    def npz_path(self) -> Path:
        """Where the resized images are kept."""
        return self.data_dir / "flowers-102" / f"flowers102_{self.image_size}x{self.image_size}_uint8.npz"

    @override
    def prepare_data(self) -> None:
        if not self.npz_path.is_file():
            _write_npz(self.npz_path, self._decode())

    @override
    def splits(self) -> ImageSplits:
        self.prepare_data()
        path = self.npz_path
        return _load_npz(path, path.stat().st_mtime_ns, self.image_size, self.n_classes)

    def _decode(self) -> dict[str, npt.NDArray[np.uint8]]:
        arrays: dict[str, npt.NDArray[np.uint8]] = {}
        for split in _SPLITS:
            try:
                photographs = self._photographs(split)
            except (OSError, RuntimeError) as error:
                raise FileNotFoundError(
                    f"no complete Flowers-102 in 'data_dir', {str(self.data_dir)!r} ({error}); put "
                    f"102flowers.tgz (unpacked), imagelabels.mat and setid.mat into {self.npz_path.parent}, or pass "
                    "download=True, which needs a connection"
                ) from error
            pairs = [photographs[i] for i in range(len(photographs))]
            arrays[f"x_{split}"] = np.stack([image for image, _ in pairs])
            arrays[f"y_{split}"] = np.array([label for _, label in pairs], dtype=np.uint8)
        return arrays

    def _photographs(self, split: str) -> TorchvisionFlowers102:
        if self.download:
            self.data_dir.mkdir(parents=True, exist_ok=True)
        # Of several processes the first downloads; for those that waited, torchvision then finds all files there.
        with FileLock(self.data_dir / "flowers-102.lock") if self.download else nullcontext():
            return TorchvisionFlowers102(self.data_dir, split=split, download=self.download, loader=self._small_image)

    def _small_image(self, path: str | Path) -> npt.NDArray[np.uint8]:
        with Image.open(path) as photograph:
            small = center_crop(resize(photograph.convert("RGB"), [self.image_size]), [self.image_size])
        return np.asarray(small)


@lru_cache(maxsize=4)
def _load_npz(path: Path, modified: int, image_size: int, n_classes: int) -> ImageSplits:
    """The splits of an npz file; `modified` is its time of modification, so that a new file is read anew."""
    with np.load(path) as file:
        missing = [key for key in _KEYS if key not in file.files]
        if missing:
            raise ValueError(f"{path} must have the arrays {', '.join(_KEYS)}; {', '.join(missing)} missing")
        arrays = {key: file[key] for key in _KEYS}
    parts: list[Batch] = []
    for split in _SPLITS:
        x, y = arrays[f"x_{split}"], arrays[f"y_{split}"]
        if x.dtype != np.uint8 or x.shape != (len(y), image_size, image_size, 3):
            raise ValueError(
                f"'x_{split}' in {path} must be {len(y)} x {image_size} x {image_size} x 3 in uint8, got "
                f"{' x '.join(map(str, x.shape))} in {x.dtype}"
            )
        if len(y) == 0 or y.min() < 0 or y.max() >= n_classes:
            raise ValueError(f"'y_{split}' in {path} must be class indices in 0..{n_classes - 1}")
        parts.append((to_channels_first(x), torch.from_numpy(y.astype(np.int64))))
    return ImageSplits.of(*parts)


def _write_npz(path: Path, arrays: dict[str, npt.NDArray[np.uint8]]) -> None:
    """Writes beside `path` and renames, so that another process never reads half a file."""
    with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".npz", delete=False) as file:
        np.savez(file, allow_pickle=False, **arrays)
    Path(file.name).replace(path)
