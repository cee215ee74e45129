from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lightning_primo.callbacks import StopFile
from lightning_primo.errors import InvalidArgumentError, TrialStoppedError
from tests.tiny import Net, train_with


class Asking(Net):
    """Asks for its end in a batch of an epoch."""

    def __init__(self, path: Path, epoch: int, batch: int) -> None:
        super().__init__()
        self.path, self.moment = path, (epoch, batch)
        self.batches: list[tuple[int, int]] = []

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        self.batches.append((self.current_epoch, batch_idx))
        if self.batches[-1] == self.moment:
            self.path.write_text("")
        return super().training_step(batch, batch_idx)


def test_it_ends_with_the_batch_in_which_the_file_came(tmp_path: Path) -> None:
    module = Asking(tmp_path / "stop", 1, 1)
    with pytest.raises(TrialStoppedError, match="stopped by the user in the training of epoch 2"):
        train_with(StopFile(tmp_path / "stop", every_seconds=0), module, tmp_path)
    assert module.batches == [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1)]


def test_between_two_looks_nothing_is_seen(tmp_path: Path) -> None:
    now = [0.0]
    module = Asking(tmp_path / "stop", 0, 1)
    train_with(StopFile(tmp_path / "stop", every_seconds=5.0, clock=lambda: now[0]), module, tmp_path)
    assert len(module.batches) == 6  # it has looked after the first batch, and not again

    stop = StopFile(tmp_path / "stop", every_seconds=5.0, clock=lambda: now[0])
    (tmp_path / "stop").unlink()
    assert not stop.is_due()
    (tmp_path / "stop").touch()
    now[0] = 4.9
    assert not stop.is_due()
    now[0] = 5.0
    assert stop.is_due()


@pytest.mark.parametrize("seconds", [-1.0, float("nan"), "soon"])
def test_the_time_between_looks_is_not_negative(tmp_path: Path, seconds: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="'every_seconds' must be a number of at least 0"):
        StopFile(tmp_path / "stop", every_seconds=seconds)
