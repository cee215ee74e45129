from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from lightning.pytorch.callbacks import Callback, EarlyStopping, ModelCheckpoint
from torch.utils.data import DataLoader

from lightning_primo.errors import CheckpointError, CheckpointWarning, MetricNotLoggedError
from lightning_primo.layout import CHECKPOINT
from lightning_primo.objectives import Metric, ParameterCount
from lightning_primo.training.checkpoint.plain_hyperparameters import LEFT_OUT
from lightning_primo.training.checkpoint.record import Record, read_record
from lightning_primo.training.checkpoint.recorder import Recorder
from lightning_primo.training.checkpoint.writing import remove_partial
from lightning_primo.training.process_state import quiet_lightning
from tests.tiny import Data, Net, NoValidation, Plateau


class Clock:
    """Advances by a second whenever it is read."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        self.seconds += 1.0
        return self.seconds


def recorder(directory: Path, *objectives: Any, target: int = 3, **fields: Any) -> Recorder:
    return Recorder(objectives or (Metric("val_loss"),), Record(**fields), directory=directory, target=target)


def fit(
    module: pl.LightningModule, *callbacks: Callback, resume: Path | None = None, max_epochs: int = 3, data: Any = None
) -> pl.Trainer:
    with quiet_lightning():
        trainer = pl.Trainer(
            accelerator="cpu",
            max_epochs=max_epochs,
            logger=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            callbacks=list(callbacks),
        )
        trainer.fit(module, datamodule=data or Data(), ckpt_path=resume, weights_only=True if resume else None)
    return trainer


def test_the_curve_holds_all_objectives_after_each_epoch(tmp_path: Path) -> None:
    mine = recorder(tmp_path, Metric("val_loss"), ParameterCount(), costs={"parameters": 25.0}, identity="me")
    trainer = fit(Net(), mine)
    assert list(mine.record.curve) == [1, 2, 3]
    assert mine.record.curve[3] == {"val_loss": float(trainer.callback_metrics["val_loss"]), "parameters": 25.0}
    assert len({values["val_loss"] for values in mine.record.curve.values()}) == 3
    assert trainer.callback_metrics["parameters"] == 25.0
    record = read_record(tmp_path)
    assert record == mine.record
    assert record is not None
    assert (record.epoch, record.identity, record.finished) == (3, "me", False)


def test_metrics_that_are_logged_at_the_very_end_of_an_epoch_are_read(tmp_path: Path) -> None:
    mine = recorder(tmp_path, Metric("score"))
    fit(NoValidation(), mine, data=Data(val=False))
    assert {epoch: values["score"] for epoch, values in mine.record.curve.items()} == {1: 1.0, 2: 2.0, 3: 3.0}


def test_training_that_ends_by_itself_is_told_from_the_target(tmp_path: Path) -> None:
    stopping = EarlyStopping("val_loss", min_delta=1e9, patience=2)  # wants to stop after epoch 3
    for target, epoch, finished in ((2, 2, False), (3, 3, True), (5, 3, True)):
        mine = recorder(tmp_path, target=target)
        fit(Net(), copy.deepcopy(stopping), mine, max_epochs=6)
        assert (max(mine.record.curve), mine.record.finished) == (epoch, finished)


def test_a_metric_that_is_not_logged(tmp_path: Path) -> None:
    with pytest.raises(MetricNotLoggedError, match="'val_loss'"):
        fit(Net(), recorder(tmp_path, Metric("accuracy")))


def test_the_checkpoint_is_plain_and_the_only_file(tmp_path: Path) -> None:
    own = ModelCheckpoint(tmp_path / "own", filename="user")
    fit(Net(), own, recorder(tmp_path))
    assert {path.name for path in tmp_path.iterdir()} == {CHECKPOINT, "own"}
    checkpoint = torch.load(tmp_path / CHECKPOINT, weights_only=True)
    assert checkpoint["hyper_parameters"] == torch.load(tmp_path / "own" / "user.ckpt")["hyper_parameters"]
    assert Net.load_from_checkpoint(tmp_path / CHECKPOINT).hparams == checkpoint["hyper_parameters"]


def test_hyperparameters_may_be_any_object(tmp_path: Path) -> None:
    class Configured(Net):
        def __init__(self, thing: Any) -> None:
            super().__init__()
            self.save_hyperparameters()

        def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
            checkpoint["name"] = str(checkpoint["hyper_parameters"]["thing"])

    with pytest.warns(CheckpointWarning, match=r"hyperparameters 'thing' are left out.*objects.*save_hyperparameters"):
        fit(Configured(thing=Path), recorder(tmp_path))
    checkpoint = torch.load(tmp_path / CHECKPOINT, weights_only=True)
    assert checkpoint["hyper_parameters"].keys() == {"lr", "width", "behaviour"}
    assert checkpoint[LEFT_OUT] == ["thing"]
    assert checkpoint["name"] == str(Path)


@dataclass
class Widths:
    hidden: int = 3


class OfObjects(Net):
    """A dataclass among its arguments, beside a number that has a default."""

    def __init__(self, widths: Widths, lr: float = 0.02, p: float = 0.2) -> None:
        super().__init__(lr)
        self.save_hyperparameters()
        self.p = p


def test_the_other_arguments_are_the_trials_where_one_is_an_object(tmp_path: Path) -> None:
    with pytest.warns(CheckpointWarning, match="hyperparameters 'widths' are left out"):
        fit(OfObjects(Widths(), p=0.7), recorder(tmp_path))
    with pytest.raises(TypeError, match="'widths'"):
        OfObjects.load_from_checkpoint(tmp_path / CHECKPOINT)
    loaded = OfObjects.load_from_checkpoint(tmp_path / CHECKPOINT, widths=Widths())
    assert (loaded.p, loaded.hparams["widths"]) == (0.7, Widths())


class Mapped(Net):
    """A container of hyperparameters that is one argument, with an object in it."""

    def __init__(self, config: dict[str, Any], lr: float = 0.02) -> None:
        super().__init__(lr)
        self.save_hyperparameters(config)


def test_a_container_with_holes_is_none(tmp_path: Path) -> None:
    config = {"p": 0.7, "widths": Widths()}
    with pytest.warns(CheckpointWarning, match="hyperparameters 'config' are left out"):
        fit(Mapped(config), recorder(tmp_path))
    checkpoint = torch.load(tmp_path / CHECKPOINT, weights_only=True)
    assert "hyper_parameters" not in checkpoint
    assert checkpoint[LEFT_OUT] == ["config"]
    with pytest.raises(TypeError, match="'config'"):
        Mapped.load_from_checkpoint(tmp_path / CHECKPOINT)
    assert Mapped.load_from_checkpoint(tmp_path / CHECKPOINT, config=config).hparams["p"] == 0.7


def test_checkpoints_before_the_target_keep_their_distance(tmp_path: Path) -> None:
    saved = []

    class Watching(Recorder):
        def _save(self, trainer: pl.Trainer) -> None:
            saved.append(trainer.current_epoch + 1)
            super()._save(trainer)

    # The clock is read once per epoch, and once more where a checkpoint is written.
    mine = Watching((Metric("val_loss"),), Record(), directory=tmp_path, target=8, every_seconds=2.0, clock=Clock())
    fit(Net(), mine, max_epochs=9)
    assert saved == [2, 4, 6, 8]
    saved.clear()
    never = Watching((Metric("val_loss"),), Record(), directory=tmp_path, target=3, every_seconds=1e9, clock=Clock())
    fit(Net(), never, max_epochs=3)
    assert saved == [3]


def test_the_state_of_callbacks_that_the_module_configures_is_that_of_the_epochs_end(tmp_path: Path) -> None:
    class Configuring(Net):
        def configure_callbacks(self) -> Any:
            return [ModelCheckpoint(tmp_path / "own", monitor="val_loss", save_top_k=3)]

    mine = recorder(tmp_path)
    fit(Configuring(), mine)
    states = torch.load(tmp_path / CHECKPOINT, weights_only=True)["callbacks"]
    (state,) = (state for key, state in states.items() if key.startswith("ModelCheckpoint"))
    assert len(state["best_k_models"]) == 3


def test_a_schedule_that_watches_a_metric_misses_no_step(tmp_path: Path) -> None:
    def rates(trainer: pl.Trainer) -> Any:
        return [group["lr"] for optimizer in trainer.optimizers for group in optimizer.param_groups]

    def plateau(trainer: pl.Trainer) -> int:
        (config,) = trainer.lr_scheduler_configs
        return int(config.scheduler.last_epoch)

    whole = fit(Plateau(), recorder(tmp_path / "whole", target=5), max_epochs=5)
    fit(Plateau(), recorder(tmp_path / "half", target=2), max_epochs=5)
    rest = fit(
        Plateau(),
        recorder(tmp_path / "half", target=5),
        max_epochs=5,
        resume=tmp_path / "half" / CHECKPOINT,
    )
    assert plateau(rest) == plateau(whole) == 5
    assert rates(rest) == rates(whole)
    assert rates(whole)[0] < 0.02


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut short"])
def test_a_damaged_checkpoint_counts_as_none(tmp_path: Path, content: bytes) -> None:
    fit(Net(), recorder(tmp_path))
    path = tmp_path / CHECKPOINT
    for damage in (content, path.read_bytes()[:-500]):
        path.write_bytes(damage)
        with pytest.warns(CheckpointWarning, match="from scratch"):
            assert read_record(tmp_path) is None


def test_what_a_killed_process_left_behind_is_not_used(tmp_path: Path) -> None:
    (tmp_path / f"{CHECKPOINT}.0123456789abcdef.partial").write_bytes(b"half a checkpoint")
    assert read_record(tmp_path) is None
    remove_partial(tmp_path)
    fit(Net(), recorder(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == [CHECKPOINT]


def test_a_checkpoint_that_could_not_be_loaded_is_refused_when_it_is_written(tmp_path: Path) -> None:
    class Hiding(Net):
        def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
            checkpoint["mine"] = DataLoader

    told = r"weights_only=True: its entries 'mine' .* need torch.*DataLoader\. If on_save_checkpoint of Hiding"
    with pytest.raises(CheckpointError, match=told):
        fit(Hiding(), recorder(tmp_path))
    assert not (tmp_path / CHECKPOINT).exists()

    class Mended(Hiding):
        def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
            pass

    fit(Mended(), recorder(tmp_path))
    assert (tmp_path / CHECKPOINT).exists()
