"""Trainings on fractions of the data: each runs whole, on a part of what every larger one has."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from lightning.pytorch.callbacks import Callback, EarlyStopping
from torch.utils.data import DataLoader, Subset

from lightning_primo.callbacks import ReproducibleEpochs
from lightning_primo.errors import InvalidArgumentError
from lightning_primo.layout import CHECKPOINT
from lightning_primo.objectives import Metric
from lightning_primo.problem import DataFractions
from lightning_primo.problem.trial import Evaluation, Status
from lightning_primo.training import preflight, run_job
from lightning_primo.training.checkpoint.record import read_record
from lightning_primo.training.evaluation import crashed
from lightning_primo.training.job import Job, build
from lightning_primo.training.process_state import quiet_lightning
from lightning_primo.training.replicates.run import run_trial
from lightning_primo.workers.rank_group import end_ranks
from tests.tiny import N_SAMPLES, Augmented, Data, Net, OneCycle, same_state
from tests.training.jobs import PARTS, make_job, state

EPOCHS = 3
PARTS_OF_DATA = 4


def make(directory: Path, level: int, **fields: Any) -> Job:
    """On so many quarters of the data."""
    trainer = {"max_epochs": EPOCHS, **fields.pop("trainer", {})}
    full = {"unit": DataFractions(Fraction(1, PARTS_OF_DATA)), "max_epochs": PARTS_OF_DATA}
    return make_job(directory, level, **full, trainer=trainer, **fields)


def train(directory: Path, level: int, **fields: Any) -> Evaluation:
    return run_job(make(directory, level, **fields))


def plainly_trained(job: Job, data: Any) -> tuple[dict[str, Any], float]:
    """What a Trainer without a search comes to."""
    module, _ = build(job)
    with quiet_lightning():
        trainer = pl.Trainer(
            accelerator="cpu",
            max_epochs=EPOCHS,
            callbacks=[ReproducibleEpochs(job.seed)],
            logger=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            default_root_dir=job.directory,
        )
        trainer.fit(module, datamodule=data)
        trainer.save_checkpoint(job.directory / "plain.ckpt")
    checkpoint = torch.load(job.directory / "plain.ckpt", weights_only=True)
    return {part: checkpoint[part] for part in PARTS}, float(trainer.callback_metrics["val_loss"])


class Quarter(Data):
    """What a user without a search would write."""

    def __init__(self, indices: list[int]) -> None:
        super().__init__()
        self.indices = indices

    def train_dataloader(self) -> Any:
        return DataLoader(Subset(Augmented(), self.indices), batch_size=4, shuffle=True)


@pytest.mark.parametrize("module", [Net, OneCycle])
def test_on_all_data_it_is_a_plain_fit(tmp_path: Path, module: type[Net]) -> None:
    told = train(tmp_path / "job", PARTS_OF_DATA, module=module)
    weights, loss = plainly_trained(make(tmp_path / "plain", PARTS_OF_DATA, module=module), Data())
    assert same_state(state(tmp_path / "job"), weights)
    assert (told.losses, told.epoch, told.cost) == ((loss,), PARTS_OF_DATA, PARTS_OF_DATA)
    assert dict(told.curve) == {PARTS_OF_DATA: (loss,)}


@pytest.mark.parametrize("module", [Net, OneCycle])
def test_on_a_fraction_it_is_a_plain_fit_of_that(tmp_path: Path, module: type[Net]) -> None:
    job = make(tmp_path / "job", 2, module=module)
    _, data = build(job)
    assert data is not None
    indices = data.train_dataloader().dataset.indices
    assert len(indices) == N_SAMPLES // 2
    told = run_job(job)
    weights, loss = plainly_trained(make(tmp_path / "plain", 4, module=module), Quarter(indices))
    assert same_state(state(tmp_path / "job"), weights)
    assert (told.losses, told.epoch, told.cost) == ((loss,), 2, 2)


class Witness(Callback):
    """Notes what a training is told of its length, and what it sees."""

    def __init__(self, seen: list[Any]) -> None:
        self.seen = seen

    def __deepcopy__(self, memo: Any) -> Witness:
        return self

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.seen.append((trainer.estimated_stepping_batches, trainer.max_epochs, trainer.current_epoch))


def test_schedules_are_whole_on_each_fraction(tmp_path: Path) -> None:
    seen: list[Any] = []
    for level in (1, 2, 4):
        train(tmp_path / "trial", level, module=OneCycle, trainer={"callbacks": [Witness(seen)]})
    assert seen == [(3, 3, 0), (6, 3, 0), (9, 3, 0)]  # batches of 4 of 3, 6 and 12 samples


def test_a_promotion_begins_anew_in_place_of_the_shorter_training(tmp_path: Path, recwarn: Any) -> None:
    small = train(tmp_path / "trial", 1)
    full = train(tmp_path / "trial", 4)
    alone = train(tmp_path / "alone", 4)
    assert full.losses == alone.losses != small.losses
    assert [small.cost, full.cost] == [1, 4]
    assert same_state(state(tmp_path / "trial"), state(tmp_path / "alone"))
    assert not [warning for warning in recwarn if "checkpoint" in str(warning.message)]
    again = train(tmp_path / "trial", 4)  # it was trained, and not told
    assert (again.losses, again.curve, again.cost) == (full.losses, full.curve, full.cost)


class Interrupting(Net):
    """Is interrupted in its third epoch."""

    def on_train_epoch_start(self) -> None:
        if self.current_epoch == 2:
            raise KeyboardInterrupt


@pytest.mark.parametrize(
    "data", [Data("map", workers=2), Data("batched"), Data("list")], ids=["map", "batched", "list"]
)
def test_interrupted_equals_uninterrupted(tmp_path: Path, data: Data) -> None:
    fields: dict[str, Any] = {"data": data, "checkpoint_every_seconds": 0.0}
    train(tmp_path / "trial", 1, **fields)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "trial", 2, module=Interrupting, **fields)
    record = read_record(tmp_path / "trial")
    assert record is not None
    assert (record.rung, record.epoch, record.length) == (2, 2, 3)
    seen: list[Any] = []
    told = train(tmp_path / "trial", 2, **fields, trainer={"callbacks": [Witness(seen)]})
    whole = train(tmp_path / "whole", 2, **fields)
    assert [epoch for _, _, epoch in seen] == [2]
    assert (told.losses, told.cost) == (whole.losses, 2)
    assert same_state(state(tmp_path / "trial"), state(tmp_path / "whole"))


def test_a_training_that_ends_early_counts_at_its_rung_alone(tmp_path: Path) -> None:
    stopping = EarlyStopping("val_loss", patience=1, mode="max", check_on_train_epoch_end=False, min_delta=10.0)
    told = train(tmp_path, 2, trainer={"callbacks": [stopping]})
    assert (told.status, told.epoch, told.finished) == (Status.OK, 2, False)
    assert told.cost == pytest.approx(2 * 2 / 3)
    assert told.counts_at(2)
    assert not told.counts_at(4)
    again = train(tmp_path, 2, trainer={"callbacks": [stopping]})
    assert (again.losses, again.cost) == (told.losses, told.cost)


def test_the_best_epoch_of_a_rung_is_its_value(tmp_path: Path) -> None:
    told = train(tmp_path, 2, objectives=(Metric("val_loss", at="best"),))
    record = read_record(tmp_path)
    assert record is not None
    losses = {epoch: values["val_loss"] for epoch, values in record.curve.items()}
    assert losses.keys() == {1, 2, 3}
    best = min(losses, key=losses.__getitem__)
    assert told.losses == (losses[best],)
    assert dict(told.curve) == {2: told.losses}
    assert told.measurements["best_epoch"] == best


@pytest.mark.parametrize(("behaviour", "status"), [("error", Status.ERROR), ("diverge", Status.DIVERGED)])
def test_a_failure_costs_what_was_trained(tmp_path: Path, behaviour: str, status: Status) -> None:
    told = train(tmp_path, 4, config={"behaviour": behaviour})
    assert (told.status, told.epoch) == (status, 0)
    assert told.cost == pytest.approx(4 * 2 / 3)  # in the second of three epochs
    assert not told.curve


def test_a_worker_that_dies_costs_what_its_checkpoint_says_and_an_epoch(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, 2, module=Interrupting, checkpoint_every_seconds=0.0)
    assert crashed(make(tmp_path, 2), "killed").cost == 2
    assert crashed(make(tmp_path, 4), "killed").cost == 4  # nobody knows
    assert crashed(make(tmp_path, 4), "killed").epoch == 0


def test_replicates_have_all_the_data(tmp_path: Path) -> None:
    job = make(tmp_path, 4)
    job = Job(**{**vars(job), "options": type(job.options)(trainer=job.options.trainer, repeats=2)})
    told = run_trial(job)
    assert (told.status, told.epoch, told.cost) == (Status.OK, 4, 8)
    assert told.measurements["replicates"] == 2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data": Data("stream")}, "cannot cut Endless, an IterableDataset"),
        (
            {"level": 1, "trainer": {"accumulate_grad_batches": 1}, "unit": DataFractions(Fraction(1, 100))},
            "too few for a batch of 4",
        ),
    ],
)
def test_what_cannot_be_cut_is_found_before_the_search(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    level = changes.pop("level", 2)
    job = make(tmp_path, level, **{name: value for name, value in changes.items() if name != "unit"})
    job = Job(**{**vars(job), "unit": changes.get("unit", job.unit)})
    with pytest.raises(InvalidArgumentError, match=message):
        preflight(job)
    told = run_job(job)
    assert (told.status, told.cost) == (Status.ERROR, 0)


class Late(Net):
    """Validates its metric from the last epoch on alone."""

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        if self.current_epoch == EPOCHS - 1:
            super().validation_step(batch, batch_idx)


def test_a_metric_may_be_logged_from_a_later_epoch_on(tmp_path: Path) -> None:
    assert preflight(make(tmp_path, 1, module=Late)) == {"train_loss", "val_loss"}
    assert train(tmp_path, 1, module=Late).ok
    assert (tmp_path / CHECKPOINT).exists()


@pytest.mark.slow
def test_ranks_share_out_the_same_fraction(tmp_path: Path) -> None:
    two = {"devices": 2, "strategy": "ddp"}
    seen: list[list[int]] = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        told = train(tmp_path / "trial" / name, 2, data=Noting(tmp_path / name), trainer=two if name == "two" else {})
        assert (told.status, told.cost) == (Status.OK, 2), told.reason
        seen.append(sorted({int(line) for line in (tmp_path / name / "seen").read_text().split()}))
    end_ranks()
    assert len(seen[0]) == N_SAMPLES // 2
    assert seen[0] == seen[1]


class Noted(Augmented):
    """Writes down which samples are asked for."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __getitem__(self, index: Any) -> Any:
        with self.file.open("a") as file:
            file.write(f"{index}\n")
        return super().__getitem__(index)


class Noting(Data):
    def __init__(self, directory: Path) -> None:
        super().__init__()
        self.directory = directory

    def train_dataloader(self) -> Any:
        return DataLoader(Noted(self.directory / "seen"), batch_size=3, shuffle=True)
