from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
from lightning.pytorch.callbacks import EarlyStopping

from lightning_primo.callbacks.stop_at_epoch import StopAtEpoch
from lightning_primo.errors import InvalidArgumentError
from lightning_primo.training.process_state import quiet_lightning
from tests.tiny import Data, Net


def fit(*callbacks: Any, resume: Path | None = None, max_epochs: int = 6, **arguments: Any) -> pl.Trainer:
    with quiet_lightning():
        trainer = pl.Trainer(
            accelerator="cpu",
            max_epochs=max_epochs,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            callbacks=list(callbacks),
            **arguments,
        )
        trainer.fit(Net(), datamodule=Data(), ckpt_path=resume, weights_only=False if resume else None)
    return trainer


def hopeless(patience: int = 1) -> EarlyStopping:
    return EarlyStopping("val_loss", min_delta=1e9, patience=patience)


def test_stops_there_with_the_schedule_of_the_full_budget() -> None:
    trainer = fit(StopAtEpoch(3))
    assert trainer.current_epoch == 3
    (config,) = trainer.lr_scheduler_configs
    assert config.scheduler.T_max == 6
    assert 0 < config.scheduler.get_last_lr()[0] < 0.02


def test_stops_below_min_epochs_and_min_steps() -> None:
    trainer = fit(StopAtEpoch(2), min_epochs=5, min_steps=1000)
    assert trainer.current_epoch == 2
    assert (trainer.min_epochs, trainer.min_steps) == (5, 1000)


def test_min_epochs_still_keeps_early_stopping_off() -> None:
    assert fit(StopAtEpoch(5), hopeless()).current_epoch == 2
    assert fit(StopAtEpoch(5), hopeless(), min_epochs=4).current_epoch == 4
    assert fit(StopAtEpoch(3), hopeless(), min_epochs=4).current_epoch == 3


def test_resumed_at_its_epoch_it_trains_no_step(tmp_path: Path) -> None:
    trainer = fit(StopAtEpoch(2))
    trainer.save_checkpoint(tmp_path / "two")
    resumed = fit(StopAtEpoch(2), resume=tmp_path / "two")
    assert (resumed.current_epoch, resumed.global_step) == (2, trainer.global_step)


@pytest.mark.parametrize("epoch", [0, -1, 1.5, True, "2"])
def test_bad_epoch(epoch: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="'epoch'"):
        StopAtEpoch(epoch)
