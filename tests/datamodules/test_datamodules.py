from __future__ import annotations

import hashlib
import os
import pickle
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.io import savemat
from torchvision import datasets

from datamodules import CIFAR10, CIFAR100, Digits, Flowers17, Flowers102, InMemoryDataModule, stratified_split


def write_flowers17(directory: Path, *, drop: str = "", seed: int = 0, **replace: Any) -> Path:
    rng = np.random.default_rng(seed)
    arrays: dict[str, Any] = {}
    for split, per_class in (("train", 2), ("val", 1), ("test", 1)):
        arrays[f"x_{split}"] = rng.integers(0, 256, (17 * per_class, 16, 16, 3), dtype=np.uint8)
        arrays[f"y_{split}"] = np.repeat(np.arange(17, dtype=np.uint8), per_class)
    arrays.update(replace)
    arrays.pop(drop, None)
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / "flowers17_16x16_uint8.npz"
    np.savez(path, **arrays)
    return path


def all_batches(module: InMemoryDataModule) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    module.prepare_data()
    module.setup("fit")
    loaders = {"train": module.train_dataloader(), "val": module.val_dataloader(), "test": module.test_dataloader()}
    return {
        split: (torch.cat([x for x, _ in loader]), torch.cat([y for _, y in loader]))
        for split, loader in loaders.items()
    }


def prepare_twice(module_class: type[Any], data_dir: Path) -> None:
    """As two searches that start at the same time."""
    with ThreadPoolExecutor(2) as pool:
        for future in [pool.submit(module_class(data_dir, download=True).prepare_data) for _ in range(2)]:
            future.result()


class TestStratifiedSplit:
    def test_parts_are_disjoint_complete_and_in_proportion(self) -> None:
        labels = np.random.default_rng(0).permutation(np.repeat([0, 1, 2], [10, 50, 101]))
        parts = stratified_split(labels, (0.6, 0.2, 0.2), np.random.default_rng(1))
        assert sorted(np.concatenate(parts)) == list(range(161))
        for fraction, part in zip((0.6, 0.2, 0.2), parts, strict=True):
            counts = np.bincount(labels[part], minlength=3)
            assert np.all(np.abs(counts - fraction * np.array([10, 50, 101])) < 1)

    def test_the_generator_determines_the_parts(self) -> None:
        labels = np.repeat([0, 1], 20)
        first, again, other = (stratified_split(labels, (0.5, 0.5), np.random.default_rng(s))[0] for s in (1, 1, 2))
        assert np.array_equal(first, again)
        assert not np.array_equal(first, other)

    @pytest.mark.parametrize("fractions", [(), (0.5, 0.4), (1.5, -0.5)])
    def test_fractions_must_be_shares(self, fractions: tuple[float, ...]) -> None:
        with pytest.raises(ValueError, match="'fractions' must be positive and sum to 1"):
            stratified_split([0, 1], fractions, np.random.default_rng(0))


class TestDigits:
    def test_the_split_is_fixed_disjoint_and_stratified(self) -> None:
        splits = Digits().splits()
        sizes = [len(labels) for _, labels in (splits.train, splits.val, splits.test)]
        assert sum(sizes) == 1797
        assert np.allclose(np.array(sizes) / 1797, (0.6, 0.2, 0.2), atol=0.005)
        # No two digits of the data set have the same pixels, so equal images would be shared ones.
        images = torch.cat([splits.train[0], splits.val[0], splits.test[0]]).flatten(1)
        assert len(torch.unique(images, dim=0)) == 1797
        for _, labels in (splits.val, splits.test):
            assert set(torch.bincount(labels, minlength=10).tolist()) <= {35, 36, 37}

    def test_batches_are_normalised_with_the_training_images_statistics(self) -> None:
        batches = all_batches(Digits(100))
        images, labels = batches["train"]
        assert images.shape == (len(labels), 1, 8, 8)
        assert images.mean() == pytest.approx(0, abs=1e-5)
        assert images.std(correction=0) == pytest.approx(1, abs=1e-5)
        assert batches["val"][0].mean() != pytest.approx(0, abs=1e-5)

    def test_the_seed_determines_the_split_which_is_loaded_once(self) -> None:
        assert Digits(8).splits() is Digits(16).splits()
        assert not torch.equal(Digits(seed=1).splits().val[0], Digits(seed=0).splits().val[0])

    def test_only_training_images_are_augmented(self) -> None:
        plain, augmented = all_batches(Digits()), all_batches(Digits(crop_padding=2))
        assert torch.equal(plain["val"][0], augmented["val"][0])
        assert plain["train"][0].sum() != augmented["train"][0].sum()

    def test_a_module_stays_small_when_it_is_sent(self) -> None:
        module = Digits()
        all_batches(module)
        assert len(pickle.dumps(module)) < 10_000

    def test_batch_size_must_be_positive(self) -> None:
        with pytest.raises(ValueError, match="'batch_size' must be at least 1, got 0"):
            Digits(0)


class TestFlowers17:
    @pytest.mark.parametrize("folder", [".", "flowers17"])
    def test_the_file_is_found_and_read(self, tmp_path: Path, folder: str) -> None:
        path = write_flowers17(tmp_path / folder)
        module = Flowers17(tmp_path, batch_size=5)
        batches = all_batches(module)
        assert {split: tuple(x.shape) for split, (x, _) in batches.items()} == {
            "train": (34, 3, 16, 16),
            "val": (17, 3, 16, 16),
            "test": (17, 3, 16, 16),
        }
        with np.load(path) as file:
            x_train, x_val, y_val = file["x_train"] / 255, file["x_val"] / 255, file["y_val"]
        expected = (x_val - x_train.mean((0, 1, 2))) / x_train.std((0, 1, 2))
        assert np.allclose(batches["val"][0].numpy().transpose(0, 2, 3, 1), expected, atol=1e-5)
        assert batches["val"][1].tolist() == y_val.tolist()

    def test_the_file_is_read_once_until_it_changes(self, tmp_path: Path) -> None:
        path = write_flowers17(tmp_path)
        first = Flowers17(tmp_path).splits()
        assert Flowers17(tmp_path, batch_size=1).splits() is first
        write_flowers17(tmp_path, seed=1)
        os.utime(path, ns=(0, 0))
        assert not torch.equal(Flowers17(tmp_path).splits().train[0], first.train[0])

    def test_a_missing_file_is_described(self, tmp_path: Path) -> None:
        with pytest.raises(
            FileNotFoundError, match=r"flowers17_16x16_uint8.npz, got .*x_train, y_train, x_val"
        ) as info:
            Flowers17(tmp_path).prepare_data()
        assert str(tmp_path) in str(info.value)

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"drop": "y_val"}, "must have the arrays .*; y_val missing"),
            ({"x_val": np.zeros((17, 8, 8, 3), np.uint8)}, "'x_val' .* 17 x 16 x 16 x 3 in uint8, got 17 x 8 x 8 x 3"),
            ({"x_test": np.zeros((17, 16, 16, 3))}, "'x_test' .* got 17 x 16 x 16 x 3 in float64"),
            ({"y_val": np.full(17, 17, np.uint8)}, r"'y_val' .* must be class indices in 0\.\.16"),
        ],
    )
    def test_other_arrays_are_refused(self, tmp_path: Path, changes: dict[str, Any], message: str) -> None:
        write_flowers17(tmp_path, **changes)
        with pytest.raises(ValueError, match=message):
            Flowers17(tmp_path).setup("fit")


@pytest.fixture
def flowers102(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Six photographs in torchvision's layout, two for each split, with the checksums of what was written."""
    folder = tmp_path / "flowers-102"
    (folder / "jpg").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for number in range(1, 7):
        pixels = np.full((40, 60, 3), rng.integers(0, 256, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / "jpg" / f"image_{number:05d}.jpg")
    savemat(folder / "imagelabels.mat", {"labels": np.array([1, 2, 3, 4, 5, 102])})
    savemat(folder / "setid.mat", {"trnid": [1, 2], "valid": [3, 4], "tstid": [5, 6]})
    files = {
        key: (name, hashlib.md5((folder / name).read_bytes()).hexdigest())
        for key, name in {"label": "imagelabels.mat", "setid": "setid.mat"}.items()
    }
    monkeypatch.setattr(datasets.Flowers102, "_file_dict", datasets.Flowers102._file_dict | files)
    return tmp_path


class TestFlowers102:
    def test_photographs_are_resized_once(self, flowers102: Path) -> None:
        module = Flowers102(flowers102, image_size=12)
        batches = all_batches(module)
        assert batches["train"][0].shape == (2, 3, 12, 12)
        assert batches["test"][1].tolist() == [4, 101]
        first_pixel = np.asarray(Image.open(flowers102 / "flowers-102" / "jpg" / "image_00003.jpg"))[20, 30]
        assert np.allclose(module.splits().val[0][0, :, 6, 6].numpy(), first_pixel, atol=1)
        for photograph in (flowers102 / "flowers-102" / "jpg").iterdir():
            photograph.unlink()
        assert Flowers102(flowers102, batch_size=8, image_size=12).splits() is module.splits()
        assert [path.name for path in (flowers102 / "flowers-102").glob("*.npz")] == ["flowers102_12x12_uint8.npz"]

    def test_missing_photographs_are_described(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError, match=r"'data_dir'.*download=True") as info:
            Flowers102(tmp_path).prepare_data()
        assert str(tmp_path) in str(info.value)

    def test_a_failed_download_names_the_directory(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def offline(self: Any) -> None:
            raise ConnectionError("no route to host")

        monkeypatch.setattr(datasets.Flowers102, "download", offline)
        with pytest.raises(FileNotFoundError, match=r"no route to host.*needs a connection") as info:
            Flowers102(tmp_path, download=True).prepare_data()
        assert str(tmp_path) in str(info.value)

    def test_one_of_two_searches_downloads(
        self, flowers102: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        elsewhere = (flowers102 / "flowers-102").rename(tmp_path / "elsewhere")
        calls = []

        def download(self: Any) -> None:
            if not self._check_integrity():
                calls.append(self.root)
                time.sleep(0.1)
                shutil.copytree(elsewhere, tmp_path / "data" / "flowers-102")

        monkeypatch.setattr(datasets.Flowers102, "download", download)
        prepare_twice(Flowers102, tmp_path / "data")
        assert len(calls) == 1

    def test_image_size_must_be_positive(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match="'image_size' must be at least 1"):
            Flowers102(tmp_path, image_size=0)


def write_cifar(root: Path, source: type[Any], n_classes: int, label_key: str, n: int = 200) -> None:
    rng = np.random.default_rng(0)
    folder = root / source.base_folder
    folder.mkdir(parents=True)
    for name in [name for name, _ in (*source.train_list, *source.test_list)]:
        entry = {
            "data": rng.integers(0, 256, (n, 3 * 32 * 32), dtype=np.uint8),
            label_key: (np.arange(n) % n_classes).tolist(),
        }
        (folder / name).write_bytes(pickle.dumps(entry))
    names = [str(i) for i in range(n_classes)]
    (folder / source.meta["filename"]).write_bytes(pickle.dumps({source.meta["key"]: names}))


def without_checksums(monkeypatch: pytest.MonkeyPatch, source: type[Any]) -> None:
    for attribute in ("train_list", "test_list"):
        monkeypatch.setattr(source, attribute, [[name, None] for name, _ in getattr(source, attribute)])
    monkeypatch.setattr(source, "meta", source.meta | {"md5": None})


class TestCIFAR:
    @pytest.mark.parametrize(
        ("module_class", "source", "label_key", "n_train"),
        [(CIFAR10, datasets.CIFAR10, "labels", 1000), (CIFAR100, datasets.CIFAR100, "fine_labels", 200)],
    )
    def test_torchvisions_files_are_read_and_split(
        self,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        module_class: type[CIFAR10],
        source: type[Any],
        label_key: str,
        n_train: int,
    ) -> None:
        write_cifar(tmp_path, source, module_class.n_classes, label_key)
        without_checksums(monkeypatch, source)
        module = module_class(tmp_path, val_fraction=0.5, flip=True, crop_padding=4)
        batches = all_batches(module)
        assert [len(y) for _, y in batches.values()] == [n_train // 2, n_train // 2, 200]
        per_class = torch.bincount(batches["val"][1])
        assert per_class.tolist() == [n_train // 2 // module.n_classes] * module.n_classes
        splits = module.splits()
        assert len(torch.unique(torch.cat([splits.train[0], splits.val[0]]).flatten(1), dim=0)) == n_train
        test = source(tmp_path, train=False)
        assert np.array_equal(splits.test[0].numpy().transpose(0, 2, 3, 1), test.data)
        assert module_class(tmp_path, 8, val_fraction=0.5).splits() is splits

    def test_missing_images_are_described(self, tmp_path: Path) -> None:
        with pytest.raises(
            FileNotFoundError, match=r"no complete CIFAR100 in 'data_dir'.*cifar-100-python.tar.gz"
        ) as info:
            CIFAR100(tmp_path).prepare_data()
        assert str(tmp_path) in str(info.value)

    def test_a_download_happens_only_if_there_is_nothing(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        calls = []

        def download(self: Any) -> None:
            calls.append(self.root)
            write_cifar(tmp_path, datasets.CIFAR10, 10, "labels", n=20)

        without_checksums(monkeypatch, datasets.CIFAR10)
        monkeypatch.setattr(datasets.CIFAR10, "download", download)
        for _ in range(2):
            CIFAR10(tmp_path, download=True).prepare_data()
        assert len(calls) == 1

    def test_one_of_two_searches_downloads_and_both_wait_for_all_files(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        calls = []

        def download(self: Any) -> None:
            if not self._check_integrity():
                calls.append(self.root)
                partly = tmp_path / datasets.CIFAR10.base_folder
                partly.mkdir()
                (partly / "data_batch_1").touch()
                time.sleep(0.1)
                shutil.rmtree(partly)
                write_cifar(tmp_path, datasets.CIFAR10, 10, "labels", n=20)

        without_checksums(monkeypatch, datasets.CIFAR10)
        monkeypatch.setattr(datasets.CIFAR10, "download", download)
        prepare_twice(CIFAR10, tmp_path)
        assert len(calls) == 1

    def test_half_a_download_is_completed(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        write_cifar(tmp_path, datasets.CIFAR10, 10, "labels", n=20)
        without_checksums(monkeypatch, datasets.CIFAR10)
        whole = tmp_path / datasets.CIFAR10.base_folder / "data_batch_5"
        content = whole.read_bytes()
        whole.unlink()
        with pytest.raises(FileNotFoundError, match="no complete CIFAR10"):
            CIFAR10(tmp_path).prepare_data()
        monkeypatch.setattr(datasets.CIFAR10, "download", lambda self: whole.write_bytes(content))
        CIFAR10(tmp_path, download=True).prepare_data()

    def test_a_failed_download_names_the_directory(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def offline(self: Any) -> None:
            raise ConnectionError("no route to host")

        monkeypatch.setattr(datasets.CIFAR10, "download", offline)
        with pytest.raises(FileNotFoundError, match=r"no route to host.*needs a connection") as info:
            CIFAR10(tmp_path, download=True).prepare_data()
        assert str(tmp_path) in str(info.value)

    @pytest.mark.parametrize("val_fraction", [0.0, 1.0])
    def test_both_splits_must_have_images(self, tmp_path: Path, val_fraction: float) -> None:
        with pytest.raises(ValueError, match="'val_fraction' must lie strictly between 0 and 1"):
            CIFAR10(tmp_path, val_fraction=val_fraction)
