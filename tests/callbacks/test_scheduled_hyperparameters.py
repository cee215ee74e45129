"""A schedule that a population has found, replayed in a Trainer without any search."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from torch import nn
from torch.optim.lr_scheduler import MultiStepLR

from lightning_primo.callbacks import Reconfigured, ReproducibleEpochs, ScheduledHyperparameters
from lightning_primo.callbacks.optimizer_settings import reconfigure, settings_of
from lightning_primo.errors import InvalidArgumentError, TakeOverError
from lightning_primo.layout import trial_directory
from lightning_primo.training import run_job
from lightning_primo.training.checkpoint.record import read_weights
from lightning_primo.training.inheritance import TakeOver
from lightning_primo.training.job import build
from tests.tiny import Data, Net, Plateau, train_with
from tests.training.jobs import make_job
from tests.training.test_take_over import OLD, Sgd, kept

EPOCHS = 5  # of the jobs
QUIET: dict[str, Any] = {
    "enable_checkpointing": False,
    "enable_progress_bar": False,
    "enable_model_summary": False,
    "num_sanity_val_steps": 0,
}


def searched(directory: Path, schedule: dict[int, dict[str, Any]], module: type[Net]) -> dict[str, torch.Tensor]:
    """The weights after trials that take over each other's trainings."""
    starts = [*schedule, EPOCHS]
    for trial_id, (start, config) in enumerate(schedule.items()):
        folder = trial_directory(directory, trial_id)
        parent = None
        if trial_id:
            before = trial_directory(directory, trial_id - 1)
            parent = TakeOver(config=schedule[starts[trial_id - 1]], directory=before, epoch=start)
        job = make_job(
            folder, starts[trial_id + 1], config=config, module=module, start_epoch=start, inheritance=parent
        )
        assert run_job(job).ok
        kept(directory, trial_id, starts[trial_id + 1])
    return read_weights(trial_directory(directory, len(schedule) - 1))


def replayed(
    directory: Path, schedule: dict[int, dict[str, Any]], module: type[Net], **options: Any
) -> dict[str, torch.Tensor]:
    """The weights after one training by a plain Trainer."""
    job = make_job(directory, config=schedule[0], module=module)
    told = json.loads(json.dumps(schedule))  # as an export has it
    net, data = build(job)
    trainer = pl.Trainer(
        max_epochs=EPOCHS,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        callbacks=[ReproducibleEpochs(job.seed), ScheduledHyperparameters(told, module=module, **options)],
    )
    trainer.fit(net, datamodule=data)
    return net.state_dict()


BEGIN = {**OLD, "lr": 2e-3}
SCHEDULE = {0: BEGIN, 2: {**BEGIN, "lr": 6e-3, "decay": 0.1}, 3: {**BEGIN, "lr": 1e-3, "momentum": 0.5}}
RATES = {0: {"lr": 0.02}, 1: {"lr": 0.3}, 3: {"lr": 0.001}}


@pytest.mark.parametrize(("module", "schedule"), [(Sgd, SCHEDULE), (Net, RATES), (Plateau, RATES)])
def test_the_weights_are_those_of_the_search_to_the_bit(
    tmp_path: Path, module: type[Net], schedule: dict[int, dict[str, Any]]
) -> None:
    found = searched(tmp_path, schedule, module)
    again = replayed(tmp_path, schedule, module)
    assert found.keys() == again.keys()
    assert all(torch.equal(found[name], again[name]) for name in found)
    other = replayed(tmp_path, {0: schedule[0]}, module)
    assert any(not torch.equal(found[name], other[name]) for name in found)


class Dropping(Sgd):
    pass


def drop(module: pl.LightningModule, p: float) -> None:
    module.net[3] = nn.Dropout(p)  # type: ignore[operator, union-attr]


def test_what_is_no_setting_of_the_optimiser_needs_a_setter(tmp_path: Path) -> None:
    schedule = {0: BEGIN, 2: {**BEGIN, "p": 0.6}}
    found = searched(tmp_path, schedule, Dropping)
    with pytest.raises(InvalidArgumentError, match="'schedule' changes 'p', which is no setting of the optimisers"):
        replayed(tmp_path, schedule, Dropping)
    again = replayed(tmp_path, schedule, Dropping, setters={"p": drop})
    assert all(torch.equal(found[name], again[name]) for name in found)


def test_a_schedule_that_cannot_be_replayed_is_refused(tmp_path: Path) -> None:
    for schedule in ({}, {1: OLD}, {0: OLD, "later": OLD}, [OLD], {0: OLD, 2: 3}):
        with pytest.raises(InvalidArgumentError, match="'schedule' must map numbers of epochs"):
            ScheduledHyperparameters(schedule, module=Sgd)  # type: ignore[arg-type]

    def module(config: dict[str, Any]) -> Net:
        return (Sgd if config["lr"] < 0.2 else Net)(config["lr"])

    with pytest.raises(TakeOverError, match=r"has the optimizers \[SGD\], but they are configured as \[Adam\]"):
        replayed(tmp_path, {0: {"lr": 0.1}, 2: {"lr": 0.3}}, module)  # type: ignore[arg-type]
    with pytest.raises(InvalidArgumentError, match="begins with a configuration whose optimisers"):
        train_with(ScheduledHyperparameters({0: {"lr": 0.1}}, module=Net), Net(lr=0.2), tmp_path)


def test_setters_are_heard_again_by_a_training_that_goes_on(tmp_path: Path) -> None:
    """A checkpoint has the optimiser's settings, but not what a setter has set."""
    heard: list[float] = []
    schedule = {0: {"lr": 0.1, "dropout": 0.1}, 1: {"lr": 0.1, "dropout": 0.5}}

    def trainer(epochs: int) -> pl.Trainer:
        replay = ScheduledHyperparameters(
            schedule,
            module=lambda config: Net(config["lr"]),
            setters={"dropout": lambda net, value: heard.append(value)},
        )
        return pl.Trainer(max_epochs=epochs, accelerator="cpu", logger=False, callbacks=[replay], **QUIET)

    first = trainer(2)
    first.fit(Net(0.1), datamodule=Data())
    first.save_checkpoint(tmp_path / "two.ckpt")
    assert heard == [0.5]
    trainer(3).fit(Net(0.1), datamodule=Data(), ckpt_path=tmp_path / "two.ckpt", weights_only=True)
    assert heard == [0.5, 0.5]


def test_milestones_of_another_configuration_replace_the_old_ones() -> None:
    parameter = nn.Parameter(torch.zeros(1))

    def configured(milestone: int) -> tuple[torch.optim.Optimizer, MultiStepLR]:
        optimizer = torch.optim.SGD([parameter], lr=0.1)
        return optimizer, MultiStepLR(optimizer, [milestone], gamma=0.1)

    (optimizer, schedule), (other, new) = configured(30), configured(3)
    before, after = settings_of([optimizer], [schedule]), settings_of([other], [new])
    for _ in range(2):
        optimizer.step()
        schedule.step()
    reconfigure([optimizer], [schedule], before, after)
    rates = []
    for _ in range(2):
        optimizer.step()
        schedule.step()
        rates.append(optimizer.param_groups[0]["lr"])
    assert rates == pytest.approx([0.01, 0.01])


def test_a_checkpoint_that_does_not_tell_is_refused(tmp_path: Path) -> None:
    options = {"accelerator": "cpu", "logger": False, **QUIET}
    first = pl.Trainer(max_epochs=1, **options)
    first.fit(Net(0.1), datamodule=Data())
    first.save_checkpoint(tmp_path / "one.ckpt")
    second = pl.Trainer(max_epochs=2, callbacks=[Reconfigured()], **options)
    with pytest.raises(TakeOverError, match=r"one\.ckpt' does not tell .* train with ConfiguredSettings"):
        second.fit(Net(0.2), datamodule=Data(), ckpt_path=tmp_path / "one.ckpt", weights_only=True)
