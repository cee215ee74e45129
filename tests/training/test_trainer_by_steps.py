"""How many epochs a training by steps has, for schedules that are made for `trainer.max_epochs`."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from lightning.pytorch.callbacks import Callback, GradientAccumulationScheduler

from lightning_primo.callbacks.reproducible_steps import ReproducibleSteps
from lightning_primo.problem.trial import Status
from lightning_primo.training.lengths.trainer_by_steps import epochs_of_steps
from lightning_primo.training.process_state import quiet_lightning
from tests.tiny import Data, Net, OneCycle, same_state
from tests.training.jobs import PARTS, state
from tests.training.test_steps import Adversaries, promoted_equals_uninterrupted, train


@pytest.mark.parametrize("accumulated", [{0: 1}, {0: 2}, {0: 1, 2: 3}, {0: 7, 1: 1, 5: 2}])
def test_epochs_are_counted_as_the_loop_counts_them(accumulated: dict[int, int]) -> None:
    for n_batches in (1, 3, 7):
        ends, made = [], 0
        for epoch in range(40):
            per_step = accumulated[max(first for first in accumulated if first <= epoch)]
            made += math.ceil(n_batches / per_step)
            ends.append(made)
        for steps in range(1, ends[-1]):
            expected = 1 + sum(end < steps for end in ends)
            assert epochs_of_steps(steps, n_batches, accumulated) == expected


class Cosine(Net):
    """Its schedule is made for the Trainer's epochs, and so is its dropout."""

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.SGD(self.parameters(), lr=self.lr)
        return [optimizer], [torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, self.trainer.max_epochs)]

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        self.net[3].p = 0.2 * self.current_epoch / self.trainer.max_epochs
        return super().training_step(batch, batch_idx)


class Hasty(OneCycle):
    """Asks for the epochs before there are any train data."""

    def setup(self, stage: str) -> None:
        self.epochs = self.trainer.max_epochs


class Adversary(Adversaries):
    def configure_optimizers(self) -> Any:
        self.epochs = self.trainer.max_epochs
        return super().configure_optimizers()


def plain(folder: Path, module: type[Net], *, max_epochs: int, steps: int) -> dict[str, Any]:
    """What a Trainer without a search makes of it, with data and weights that are drawn as in a trial."""
    checkpoint: dict[str, Any] = {}

    class Last(Callback):
        def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
            checkpoint.update(trainer._checkpoint_connector.dump_checkpoint())

    with quiet_lightning():
        trainer = pl.Trainer(
            accelerator="cpu",
            max_epochs=max_epochs,
            max_steps=steps,
            val_check_interval=5,
            check_val_every_n_epoch=None,
            num_sanity_val_steps=0,
            enable_progress_bar=False,
            enable_model_summary=False,
            logger=False,
            default_root_dir=folder,
            callbacks=[ReproducibleSteps(11), Last()],
        )
        pl.seed_everything(1, verbose=False)
        net = module()
        torch.manual_seed(0)
        for parameter in net.parameters():
            torch.nn.init.uniform_(parameter, -0.5, 0.5)
        trainer.fit(net, datamodule=Data())
    return {part: checkpoint[part] for part in PARTS}


class CosineFrom(Cosine):
    """With the weights of `plain`."""

    def on_fit_start(self) -> None:
        torch.manual_seed(0)
        if self.trainer.ckpt_path is None:
            for parameter in self.parameters():
                torch.nn.init.uniform_(parameter, -0.5, 0.5)


def test_a_schedule_for_epochs_is_that_of_a_trainer_with_both_limits(tmp_path: Path) -> None:
    # 20 steps of 3 batches to an epoch: the seventh is not trained to its end.
    trial = promoted_equals_uninterrupted(tmp_path, module=CosineFrom)
    assert trial.status is Status.OK
    assert same_state(plain(tmp_path / "plain", Cosine, max_epochs=7, steps=20), state(tmp_path / "whole"))


@pytest.mark.filterwarnings("ignore:'set_vital' is deprecated")
def test_loaders_with_a_state_go_on_by_it_though_they_were_made_to_count_batches(tmp_path: Path) -> None:
    stateful = pytest.importorskip("torchdata.stateful_dataloader")

    class Stateful(Data):
        def train_dataloader(self) -> Any:
            return stateful.StatefulDataLoader(range(12), batch_size=4, collate_fn=collated)

    promoted_equals_uninterrupted(tmp_path, module=Cosine, data=Stateful(), full=3)


def collated(numbers: list[int]) -> tuple[torch.Tensor, torch.Tensor]:
    x = torch.tensor([[number / 12, number % 5] for number in numbers])
    return x, x.sum(-1, keepdim=True)


def test_epochs_follow_from_what_a_step_takes(tmp_path: Path) -> None:
    seen: list[int | None] = []

    class Watching(Cosine):
        def on_train_start(self) -> None:
            seen.append(self.trainer.max_epochs)

    for number, trainer in enumerate(
        [
            {"accumulate_grad_batches": 2},
            {"limit_train_batches": 1},
            {"callbacks": [GradientAccumulationScheduler({0: 1, 2: 3})]},
        ]
    ):
        train(tmp_path / str(number), 1, every=4, full=2, module=Watching, trainer=trainer)
    assert seen == [4, 8, 4]


@pytest.mark.parametrize(
    ("module", "data", "why"),
    [
        (Cosine, Data("stream"), "the train data have no length"),
        (Adversary, Data(), "manual optimisation"),
        (Hasty, Data(), "the train data are not there yet in 'setup'"),
    ],
)
def test_epochs_that_nobody_knows_are_an_error(tmp_path: Path, module: Any, data: Any, why: str) -> None:
    evaluation = train(tmp_path, 1, module=module, data=data)
    assert evaluation.status is Status.ERROR
    assert why in evaluation.reason
    assert "'trainer.max_steps' (20)" in evaluation.reason
