from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from torch import Tensor

from lightning_primo.callbacks.guard import NonFiniteGuard
from lightning_primo.errors import InvalidArgumentError, NonFiniteLossError
from lightning_primo.training.process_state import quiet_lightning
from tests.tiny import Data, Manual, Net


def fit(module: pl.LightningModule, **options: Any) -> pl.Trainer:
    with quiet_lightning():
        trainer = pl.Trainer(
            accelerator="cpu",
            max_epochs=3,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            callbacks=[NonFiniteGuard(**options)],
        )
        trainer.fit(module, datamodule=Data())
    return trainer


class Returning(Net):
    """Manual optimisation that returns its loss, in a dict or bare."""

    def __init__(self, value: float, as_dict: bool) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.value, self.as_dict = value, as_dict

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        loss = torch.tensor(self.value)
        return {"loss": loss} if self.as_dict else loss

    def configure_optimizers(self) -> None:
        return None


class NoLoss(Net):
    """Skips every batch."""

    def training_step(self, batch: Any, batch_idx: int) -> None:
        return None


def test_a_loss_that_is_not_finite_is_found_at_its_step() -> None:
    with pytest.raises(NonFiniteLossError, match="in epoch 2 by batch 1"):
        fit(Net(behaviour="diverge"))


def test_a_finite_training_passes() -> None:
    assert fit(Net()).current_epoch == 3


@pytest.mark.filterwarnings("ignore:`LightningModule.configure_optimizers` returned `None`")
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("as_dict", [False, True])
def test_manual_optimisation_that_returns_its_loss(value: float, as_dict: bool) -> None:
    with pytest.raises(NonFiniteLossError, match="by batch 1"):
        fit(Returning(value, as_dict))


def test_manual_optimisation_that_returns_nothing_is_judged_by_its_parameters() -> None:
    with pytest.raises(NonFiniteLossError, match="parameters"):
        fit(Manual(behaviour="diverge"))
    assert fit(Manual()).current_epoch == 3


@pytest.mark.filterwarnings("ignore:`training_step` returned `None`")
def test_batches_without_a_loss_pass() -> None:
    assert fit(NoLoss()).current_epoch == 3


class FakeStrategy:
    """Two processes, of which the other one found `other`."""

    def __init__(self, other: bool = False) -> None:
        self.other, self.asked = other, 0

    def reduce_boolean_decision(self, decision: bool, all: bool = True) -> bool:  # noqa: A002
        self.asked += 1
        assert not all
        return decision or self.other


def feed(losses: list[float], *, every: int, other: bool = False) -> int:
    """Give losses to a guard of several processes; how often these talked to each other."""
    strategy = FakeStrategy(other)
    trainer: Any = SimpleNamespace(world_size=2, strategy=strategy, current_epoch=0)
    module: Any = SimpleNamespace(parameters=list, device=torch.device("cpu"))
    guard = NonFiniteGuard(every_n_steps=every)
    guard.on_train_epoch_start(trainer, module)
    for i, value in enumerate(losses):
        loss: Tensor = torch.tensor(value)
        guard.on_train_batch_end(trainer, module, {"loss": loss}, None, i)
    guard.on_train_epoch_end(trainer, module)
    return strategy.asked


def test_across_processes_the_sum_is_read_seldom_and_all_stop_together() -> None:
    assert feed([1.0] * 7, every=3) == 3
    with pytest.raises(NonFiniteLossError, match="by batch 3"):
        feed([1.0, float("inf"), 1.0, 1.0], every=3)
    with pytest.raises(NonFiniteLossError, match=r"in epoch 1$"):
        feed([float("inf"), -float("inf")], every=50)
    with pytest.raises(NonFiniteLossError, match="by batch 2"):
        feed([1.0] * 4, every=2, other=True)


@pytest.mark.parametrize("steps", [0, 1.5, True])
def test_bad_interval(steps: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="'every_n_steps'"):
        NonFiniteGuard(every_n_steps=steps)
