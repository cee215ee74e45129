"""Whether checkpoints hold the weights that were validated."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch.callbacks import EMAWeightAveraging

from lightning_primo.errors import CheckpointWarning
from lightning_primo.problem.trial import Status
from lightning_primo.training import run_job
from lightning_primo.training.checkpoint import validated_weights
from tests.tiny import Net
from tests.training.jobs import make_job
from tests.training.test_steps import train


class Shifts(Net):
    """Validates with other weights than it trains with."""

    def shift(self, by: float) -> None:
        with torch.no_grad():
            self.net[0].weight.add_(by)

    def on_validation_epoch_start(self) -> None:
        self.shift(1.0)

    def on_validation_epoch_end(self) -> None:
        self.shift(-1.0)


class Stays(Shifts):
    """Goes back where the next epoch begins."""

    def on_validation_epoch_end(self) -> None:
        pass

    def on_train_epoch_start(self) -> None:
        if self.current_epoch > 0:
            self.shift(-1.0)


@pytest.mark.parametrize("by_steps", [False, True])
def test_other_weights_than_those_validated_are_told_of(tmp_path: Path, by_steps: bool) -> None:
    validated_weights._warn.cache_clear()
    with pytest.warns(CheckpointWarning, match=r"Shifts was validated with are not those .*: 'net\.0\.weight' changed"):
        (train if by_steps else run)(tmp_path, 1, module=Shifts)


def run(folder: Path, epoch: int, **fields: Any) -> Any:
    return run_job(make_job(folder, epoch, **fields))


@pytest.mark.parametrize(
    ("module", "trainer"),
    [
        (Net, {}),
        (Stays, {}),
        (Net, {"callbacks": [EMAWeightAveraging(decay=0.5)]}),
        (Shifts, {"val_check_interval": 2}),  # behind which it trains on
    ],
)
def test_the_same_weights_and_those_of_later_steps_are_not(tmp_path: Path, module: Any, trainer: Any) -> None:
    validated_weights._warn.cache_clear()
    with warnings.catch_warnings():
        warnings.simplefilter("error", CheckpointWarning)
        evaluation = run(tmp_path, 2, module=module, trainer=trainer)
    assert evaluation.status is Status.OK, evaluation.reason
