from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import pytest
import torch
from lightning.pytorch.callbacks import Callback
from torch.utils.data import DataLoader, random_split

from lightning_primo.callbacks import reproducibility
from lightning_primo.callbacks.reproducibility import ReproducibleEpochs, seed_globals
from lightning_primo.callbacks.stop_at_epoch import StopAtEpoch
from lightning_primo.training.process_state import quiet_lightning
from tests.tiny import Augmented, Data, Net, OneCycle, loader, same_state


class Curve(Callback):
    def __init__(self) -> None:
        self.values: list[float] = []

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        has_validated = (trainer.current_epoch + 1) % (trainer.check_val_every_n_epoch or 1) == 0
        self.values.append(float(trainer.callback_metrics["val_loss"]) if has_validated else 0.0)


def fit(
    epoch: int,
    *,
    path: Path,
    resume: Path | None = None,
    data: Any = None,
    train: Any = None,
    seed: int = 1,
    module: type[Net] = Net,
    **arguments: Any,
) -> tuple[dict[str, Any], list[float]]:
    """Train to `epoch` of 4, and return the state of weights and optimizers, and the curve."""
    seed_globals(7)
    net, curve = module(), Curve()
    # Where a training is resumed, the process has drawn other random numbers before.
    seed_globals(int(np.random.randint(1000)) if resume is None else 99)  # noqa: NPY002
    with quiet_lightning():
        trainer = pl.Trainer(
            accelerator="cpu",
            max_epochs=4,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            callbacks=[ReproducibleEpochs(seed), StopAtEpoch(epoch), curve, *arguments.pop("callbacks", [])],
            **arguments,
        )
        if train is not None:
            val = DataLoader(Augmented(), batch_size=4)
            trainer.fit(net, train, val, ckpt_path=resume, weights_only=False if resume else None)
        else:
            trainer.fit(net, datamodule=data or Data(), ckpt_path=resume, weights_only=False if resume else None)
        trainer.save_checkpoint(path)
    state = torch.load(path, weights_only=False)
    return {key: state[key] for key in ("state_dict", "optimizer_states", "lr_schedulers")}, curve.values


def resumed_equals_uninterrupted(tmp_path: Path, **kwargs: Any) -> None:
    make = kwargs.pop("make", None)

    def source() -> dict[str, Any]:
        return {"train": make()} if make else {}

    whole, curve = fit(4, path=tmp_path / "whole", **source(), **kwargs)
    _, first = fit(2, path=tmp_path / "half", **source(), **kwargs)
    rest, second = fit(4, path=tmp_path / "rest", resume=tmp_path / "half", **source(), **kwargs)
    assert curve == first + second
    assert same_state(whole, rest)


class Peeks(Net):
    """Looks at a batch of the train data where a training begins, as to log its images or to learn its shape."""

    def on_train_start(self) -> None:
        next(iter(self.trainer.train_dataloader))


@pytest.mark.parametrize("kind", ["map", "batched", "stream"])
def test_a_batch_that_is_looked_at_where_a_training_begins_is_not_missed(tmp_path: Path, kind: str) -> None:
    resumed_equals_uninterrupted(tmp_path, data=Data(kind), module=Peeks)


@pytest.mark.parametrize("kind", ["map", "batched", "stream", "dict", "list"])
def test_resumed_equals_uninterrupted(tmp_path: Path, kind: str) -> None:
    resumed_equals_uninterrupted(tmp_path, data=Data(kind))


def test_resumed_equals_uninterrupted_with_workers(tmp_path: Path) -> None:
    resumed_equals_uninterrupted(tmp_path, data=Data("map", workers=2))


def test_loaders_that_are_given_to_fit(tmp_path: Path) -> None:
    resumed_equals_uninterrupted(tmp_path, make=loader)


def test_a_loader_that_is_made_before_the_checkpoint_is_restored(tmp_path: Path) -> None:
    resumed_equals_uninterrupted(tmp_path, module=OneCycle, data=Data(workers=2))


@pytest.mark.parametrize(
    "arguments", [{"val_check_interval": 1}, {"reload_dataloaders_every_n_epochs": 1}, {"num_sanity_val_steps": 0}]
)
def test_trainer_arguments_that_change_when_random_numbers_are_drawn(tmp_path: Path, arguments: Any) -> None:
    resumed_equals_uninterrupted(tmp_path, **arguments)


class DrawnValidation(Data):
    """Draws what it validates on, and noise for it, each time that a loader of that is made."""

    def __init__(self) -> None:
        super().__init__()
        self.drawn: list[tuple[Any, ...]] = []

    def val_dataloader(self) -> Any:
        kept, _ = random_split(Augmented(), [4, len(Augmented()) - 4])
        self.drawn.append((tuple(kept.indices), random.random(), float(np.random.rand())))  # noqa: NPY002
        return DataLoader(kept, batch_size=4)


@pytest.mark.parametrize("sanity_steps", [0, 1])
def test_a_split_of_the_validation_loader_does_not_follow_from_where_a_fit_begins(
    tmp_path: Path, sanity_steps: int
) -> None:
    data = DrawnValidation()
    resumed_equals_uninterrupted(tmp_path, data=data, num_sanity_val_steps=sanity_steps)
    assert len(data.drawn) == 3
    assert len(set(data.drawn)) == 1
    other = DrawnValidation()
    weights, _ = fit(2, path=tmp_path / "drawn", seed=1, data=data)
    fit(1, path=tmp_path / "other", seed=2, data=other)
    assert set(other.drawn).isdisjoint(data.drawn)
    assert same_state(weights, fit(2, path=tmp_path / "quiet", seed=1)[0])  # the training saw nothing of the draws


def test_a_validation_loader_that_is_made_anew_has_a_split_for_each_epoch(tmp_path: Path) -> None:
    data = DrawnValidation()
    resumed_equals_uninterrupted(tmp_path, data=data, reload_dataloaders_every_n_epochs=1, num_sanity_val_steps=0)
    assert data.drawn[:4] == data.drawn[4:]
    assert len(set(data.drawn)) == 4


class Growing(Data):
    """Both loaders are of a part that is drawn, and larger the later they are made."""

    def train_dataloader(self) -> Any:
        part, _ = random_split(Augmented(), [n := 4 + 2 * self.trainer.current_epoch, len(Augmented()) - n])
        return DataLoader(part, batch_size=4)

    val_dataloader = train_dataloader


class Estimates(Net):
    """Has its train loader made before the training's state is restored."""

    def configure_optimizers(self) -> Any:
        assert self.trainer.estimated_stepping_batches > 0
        return super().configure_optimizers()


@pytest.mark.parametrize("module", [Net, Estimates])
@pytest.mark.parametrize("every", [0, 2, 3])
@pytest.mark.parametrize("sanity_steps", [0, 1])
def test_loaders_are_made_anew_when_they_would_be_without_a_stop(
    tmp_path: Path, module: type[Net], every: int, sanity_steps: int
) -> None:
    arguments = {"reload_dataloaders_every_n_epochs": every, "num_sanity_val_steps": sanity_steps}
    resumed_equals_uninterrupted(tmp_path, data=Growing(), module=module, **arguments)


@pytest.mark.parametrize("every", [0, 1, 3])
def test_so_are_those_of_a_validation_every_second_epoch(tmp_path: Path, every: int) -> None:
    arguments = {"reload_dataloaders_every_n_epochs": every, "check_val_every_n_epoch": 2}
    resumed_equals_uninterrupted(tmp_path, data=Growing(), **arguments)


def test_what_validation_draws_does_not_influence_the_training(tmp_path: Path) -> None:
    class Drawing(Callback):
        def on_validation_batch_end(self, *args: Any) -> None:
            torch.rand(5), random.random(), np.random.rand()  # noqa: NPY002

    quiet, _ = fit(2, path=tmp_path / "a", val_check_interval=1)
    drawing, _ = fit(2, path=tmp_path / "b", val_check_interval=1, callbacks=[Drawing()])
    assert same_state(quiet, drawing)


def test_the_seed_matters_and_epochs_differ(tmp_path: Path) -> None:
    one, curve = fit(2, path=tmp_path / "a", seed=1)
    two, _ = fit(2, path=tmp_path / "b", seed=2)
    assert not same_state(one["state_dict"], two["state_dict"])
    assert curve[0] != curve[1]


@pytest.mark.parametrize("workers", [0, 1])
def test_every_epoch_has_an_order_and_an_augmentation_of_its_own(tmp_path: Path, workers: int) -> None:
    class Watching(Callback):
        def __init__(self) -> None:
            self.epochs: list[list[list[float]]] = []

        def on_train_epoch_start(self, *args: Any) -> None:
            self.epochs.append([])

        def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
            self.epochs[-1] += batch[0].tolist()

    runs = [Watching(), Watching()]
    for i, watching in enumerate(runs):
        fit(3, path=tmp_path / str(i), data=Data(workers=workers), callbacks=[watching])
    assert runs[0].epochs == runs[1].epochs
    orders = [tuple(index for index, _ in epoch) for epoch in runs[0].epochs]
    noise = [frozenset(noise for _, noise in epoch) for epoch in runs[0].epochs]
    assert len(set(orders)) == len(set(noise)) == 3
    assert all(sorted(order) == sorted(orders[0]) for order in orders)


@pytest.mark.parametrize("fails", [False, True])
def test_the_users_loader_gets_its_generator_back(tmp_path: Path, fails: bool) -> None:
    class Failing(Callback):
        def on_train_batch_end(self, *args: Any) -> None:
            raise RuntimeError("stop")

    generator = torch.Generator()
    mine = DataLoader(Augmented(), batch_size=4, shuffle=True, generator=generator)
    if fails:
        with pytest.raises(RuntimeError, match="stop"):
            fit(1, path=tmp_path / "a", train=mine, callbacks=[Failing()])
    else:
        fit(1, path=tmp_path / "a", train=mine)
    assert mine.generator is generator
    assert mine.sampler.generator is generator  # type: ignore[attr-defined]


@pytest.mark.filterwarnings("ignore:.*persistent_workers:UserWarning")
def test_workers_are_not_persistent_while_the_fit_lasts(tmp_path: Path) -> None:
    loaders: list[DataLoader[Any]] = []

    def make() -> Any:
        loaders.append(DataLoader(Augmented(), batch_size=4, shuffle=True, num_workers=1, persistent_workers=True))
        return loaders[-1]

    resumed_equals_uninterrupted(tmp_path, make=make)
    assert all(loader.persistent_workers for loader in loaders)


def test_persistent_workers_are_warned_of_once() -> None:
    reproducibility._warn_of_persistent_workers.cache_clear()

    def make() -> Any:
        return DataLoader(Augmented(), batch_size=4, num_workers=1, persistent_workers=True)

    def attach_twice() -> None:
        with quiet_lightning():
            for _ in range(2):
                ReproducibleEpochs(0)._attach(make())

    with pytest.warns(UserWarning, match="persistent_workers") as caught:
        attach_twice()
    assert len(caught) == 1


def test_seeding_separates_streams() -> None:
    drawn = []
    for entropy in ((1, 2), (1, 3), (2, 2), (2**70, 2)):
        seed_globals(*entropy)
        drawn.append((float(torch.rand(())), float(np.random.rand()), random.random()))  # noqa: NPY002
    assert len({value for values in drawn for value in values}) == 12


@pytest.mark.parametrize("device", [False, True])
def test_devices_are_seeded_where_there_are_any(monkeypatch: pytest.MonkeyPatch, device: bool) -> None:
    seeds: list[int] = []
    of_all = torch.manual_seed

    def manual_seed(seed: int) -> Any:
        seeds.append(seed)
        return of_all(seed)

    monkeypatch.setattr(torch, "manual_seed", manual_seed)
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: device)
    seed_globals(3, 4)
    drawn = torch.rand(3)
    of_all(int(np.random.SeedSequence((3, 4)).generate_state(1, np.uint64)[0]))
    assert torch.equal(drawn, torch.rand(3))
    assert bool(seeds) == device
