from __future__ import annotations

from collections import Counter
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from lightning.pytorch.demos.boring_classes import BoringModel
from lightning.pytorch.utilities.data import _update_dataloader
from torch.utils.data import DataLoader, DistributedSampler, RandomSampler

from datamodules import InMemoryDataset, RandomFlipCrop, in_memory_loader

MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.3, 0.25)


def images_and_labels(n: int = 23, size: int = 4) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(256, (n, 3, size, size), dtype=torch.uint8, generator=generator), torch.arange(n)


def normalised(images: torch.Tensor) -> torch.Tensor:
    mean, std = (torch.tensor(numbers).view(3, 1, 1) for numbers in (MEAN, STD))
    return (images / 255 - mean) / std


def orders(loader: DataLoader[Any], epochs: int) -> list[list[int]]:
    return [[int(label) for _, labels in loader for label in labels] for _ in range(epochs)]


@pytest.mark.parametrize("batch_size", [1, 5, 23, 64])
def test_every_image_comes_exactly_once_per_epoch_with_its_label(batch_size: int) -> None:
    images, labels = images_and_labels()
    loader = in_memory_loader(InMemoryDataset(images, labels), batch_size, shuffle=True)
    for _ in range(2):
        batches = list(loader)
        assert len(batches) == len(loader) == -(-23 // batch_size)
        assert Counter(torch.cat([y for _, y in batches]).tolist()) == Counter(range(23))
        for x, y in batches:
            assert torch.allclose(x, images[y] / 255)


def test_the_generator_determines_the_orders_and_epochs_differ() -> None:
    dataset = InMemoryDataset(*images_and_labels())

    def shuffled(seed: int) -> list[list[int]]:
        generator = torch.Generator().manual_seed(seed)
        return orders(in_memory_loader(dataset, 4, shuffle=True, generator=generator), epochs=2)

    assert shuffled(1) == shuffled(1)
    assert shuffled(1) != shuffled(2)
    assert shuffled(1)[0] != shuffled(1)[1]
    assert orders(in_memory_loader(dataset, 4, shuffle=False), epochs=1) == [list(range(23))]


def test_loader_and_sampler_share_the_generator() -> None:
    generator = torch.Generator()
    loader = in_memory_loader(InMemoryDataset(*images_and_labels()), 4, shuffle=True, generator=generator)
    assert isinstance(loader.sampler, RandomSampler)
    assert loader.sampler.generator is loader.generator is generator


def test_uint8_and_floats_are_normalised_alike_and_stay_unchanged() -> None:
    images, labels = images_and_labels()
    floats = images / 255
    before = images.clone(), floats.clone()
    for stored in (images, floats):
        dataset = InMemoryDataset(stored, labels, mean=MEAN, std=STD)
        batch, classes = dataset.__getitems__([3, 0, 3])
        assert batch.dtype == torch.float32
        assert batch.is_contiguous()
        assert torch.allclose(batch, normalised(images[[3, 0, 3]]), atol=2e-6)
        assert classes.tolist() == [3, 0, 3]
        assert torch.equal(dataset[3][0], batch[0])
    assert torch.equal(images, before[0])
    assert torch.equal(floats, before[1])


@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
def test_workers_load_the_same_batches() -> None:
    dataset = InMemoryDataset(*images_and_labels(), mean=MEAN, std=STD)
    here, there = (list(in_memory_loader(dataset, 6, shuffle=False, num_workers=workers)) for workers in (0, 1))
    assert all(torch.equal(a[0], b[0]) and torch.equal(a[1], b[1]) for a, b in zip(here, there, strict=True))


def test_flips_are_drawn_per_image_from_torchs_generator() -> None:
    images, _ = images_and_labels(200)
    torch.manual_seed(0)
    augmented = RandomFlipCrop(flip=True)(images)
    mirrored = (augmented == images.flip(3)).flatten(1).all(1)
    kept = (augmented == images).flatten(1).all(1)
    assert (mirrored ^ kept).all()
    assert 60 < mirrored.sum() < 140
    torch.manual_seed(0)
    assert torch.equal(RandomFlipCrop(flip=True)(images), augmented)


def test_crops_are_shifts_of_the_zero_padded_image() -> None:
    images, _ = images_and_labels(300)
    images = images.clamp(min=1)
    torch.manual_seed(0)
    augmented = RandomFlipCrop(flip=False, padding=1)(images)
    padded = torch.zeros(300, 3, 6, 6, dtype=torch.uint8)
    padded[:, :, 1:5, 1:5] = images
    windows = torch.stack([padded[:, :, i : i + 4, j : j + 4] for i in range(3) for j in range(3)])
    matches = (windows == augmented).flatten(2).all(2)
    assert (matches.sum(0) == 1).all()
    # 300 images over 9 shifts: 33 expected each, with a standard deviation of 5.4.
    assert matches.sum(1).min() > 33 - 4 * 5.4


def test_augmentation_comes_before_the_normalisation_so_padding_is_black() -> None:
    images = torch.full((50, 3, 4, 4), 255, dtype=torch.uint8)
    dataset = InMemoryDataset(
        images, torch.zeros(50), mean=MEAN, std=STD, augment=RandomFlipCrop(flip=False, padding=2)
    )
    batch, _ = dataset.__getitems__(range(50))
    black, white = (normalised(torch.full((3, 1, 1), value)) for value in (0, 255))
    assert (torch.isclose(batch, black, atol=1e-5) | torch.isclose(batch, white, atol=1e-5)).all()
    assert torch.isclose(batch, black, atol=1e-5).any()


@pytest.mark.parametrize(
    ("images", "labels", "options", "message"),
    [
        (torch.zeros(2, 4, 4), torch.zeros(2), {}, "'images' must be n x channels"),
        (torch.zeros(2, 3, 4, 4, dtype=torch.int32), torch.zeros(2), {}, "'images' must be uint8 or floats"),
        (torch.zeros(2, 3, 4, 4), torch.zeros(3), {}, r"'labels' must have the shape \(2,\), got \(3,\)"),
        (torch.zeros(2, 3, 4, 4), torch.zeros(2), {"mean": (0.5,)}, "'mean' must have one value per channel, 3, got 1"),
        (torch.zeros(2, 3, 4, 4), torch.zeros(2), {"std": (1, 0, 1)}, "'std' must be positive"),
    ],
)
def test_impossible_data_are_refused(
    images: torch.Tensor, labels: torch.Tensor, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        InMemoryDataset(images, labels, **options)


def test_impossible_options_are_refused() -> None:
    with pytest.raises(ValueError, match="'padding' must be at least 0"):
        RandomFlipCrop(padding=-1)
    with pytest.raises(ValueError, match="'batch_size' must be at least 1, got 0"):
        in_memory_loader(InMemoryDataset(*images_and_labels()), 0, shuffle=True)


class Recorder(BoringModel):
    """Keeps the labels of the batches that the Trainer passes on."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(48, 2)
        self.seen: list[list[int]] = []

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        images, labels = batch
        self.seen.append(labels.tolist())
        return self.layer(images.flatten(1)).sum()

    def predict_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> Any:
        return batch[1]

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        return None


@pytest.mark.filterwarnings("ignore:.*does not have many workers")
@pytest.mark.filterwarnings("ignore:`isinstance.treespec, LeafSpec.` is deprecated")
@pytest.mark.filterwarnings("ignore:You requested to overfit")
class TestLoadersThatLightningMakesAnew:
    def trainer(self, **options: Any) -> pl.Trainer:
        quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
        return pl.Trainer(accelerator="cpu", **{**quiet, "enable_model_summary": False, "max_epochs": 1, **options})

    def loader(self) -> DataLoader[Any]:
        return in_memory_loader(InMemoryDataset(*images_and_labels()), 5, shuffle=True)

    def test_overfitting_takes_the_first_batches(self) -> None:
        module = Recorder()
        self.trainer(overfit_batches=2, max_epochs=2).fit(module, self.loader())
        assert module.seen == 2 * [[0, 1, 2, 3, 4], [5, 6, 7, 8, 9]]

    def test_prediction_tracks_the_indices(self) -> None:
        dataset = InMemoryDataset(*images_and_labels())
        batches = self.trainer().predict(Recorder(), in_memory_loader(dataset, 5, shuffle=False))
        assert batches is not None
        assert torch.cat(list(batches)).tolist() == list(range(23))  # type: ignore[arg-type]

    def test_distributed_samplers_share_the_images_out(self) -> None:
        """Two processes see 12 images each: all 23 and, to fill up, one of them twice."""
        loader = self.loader()
        samplers: list[DistributedSampler[Any]] = [
            DistributedSampler(loader.dataset, num_replicas=2, rank=rank) for rank in (0, 1)
        ]
        seen = [orders(_update_dataloader(loader, sampler), epochs=1)[0] for sampler in samplers]
        assert len(seen[0]) == len(seen[1]) == 12
        assert set(seen[0]) | set(seen[1]) == set(range(23))
