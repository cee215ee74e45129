from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
from torch import Tensor

from lightning_primo.callbacks import PauseForMeasurements
from lightning_primo.measure import turns as lock
from lightning_primo.measure.turns import TrainingTurn
from tests.tiny import Data, Net

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there is no flock on Windows")


def held() -> bool:
    locks = lock._Locks()
    try:
        return not locks.machine.try_acquire()
    finally:
        locks.close()


@pytest.fixture(autouse=True)
def pauses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether the share was held at each offered pause."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    seen: list[bool] = []
    original = TrainingTurn.pause

    def pause(self: TrainingTurn) -> None:
        seen.append(self._holds)
        original(self)

    monkeypatch.setattr(TrainingTurn, "pause", pause)
    return seen


class Watching(Net):
    """Looks whether the machine is held in its steps."""

    seen: list[bool] = []  # noqa: RUF012

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        self.seen.append(held())
        return super().training_step(batch, batch_idx)

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.seen.append(held())
        super().validation_step(batch, batch_idx)


def fit(tmp_path: Path, module: pl.LightningModule) -> None:
    trainer = pl.Trainer(
        accelerator="cpu", max_epochs=2, logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, default_root_dir=tmp_path, num_sanity_val_steps=0,
        callbacks=[PauseForMeasurements()],
    )  # fmt: skip
    trainer.fit(module, datamodule=Data())


def test_every_batch_offers_a_pause_and_none_is_run_without_the_share(tmp_path: Path, pauses: list[bool]) -> None:
    Watching.seen = []
    fit(tmp_path, Watching())
    assert len(pauses) == len(Watching.seen) > 4
    assert all(Watching.seen)
    assert all(pauses)
    assert not held()


@pytest.mark.parametrize("behaviour", ["error", "memory", "interrupt"])
def test_whatever_ends_a_batch_gives_the_share_back(tmp_path: Path, behaviour: str) -> None:
    with pytest.raises((ValueError, MemoryError, KeyboardInterrupt, SystemExit)):
        fit(tmp_path, Watching(behaviour=behaviour))
    assert not held()


class Failing(Net):
    def on_train_epoch_end(self) -> None:
        raise ValueError("between batches")

    def loss(self, batch: Any) -> Tensor:
        return super().loss(batch)


def test_and_so_does_what_ends_it_between_batches(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="between"):
        fit(tmp_path, Failing())
    assert not held()
