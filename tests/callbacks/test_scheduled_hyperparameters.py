"""A schedule that a population has found, replayed in a Trainer without any search."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from torch import nn

from lightning_primo.callbacks import ReproducibleEpochs, ScheduledHyperparameters
from lightning_primo.errors import InvalidArgumentError, TakeOverError
from lightning_primo.layout import trial_directory
from lightning_primo.training import run_job
from lightning_primo.training.checkpoint.record import read_weights
from lightning_primo.training.inheritance import TakeOver
from lightning_primo.training.job import build
from tests.tiny import Data, Net, Plateau
from tests.training.jobs import make_job
from tests.training.test_take_over import OLD, Sgd, kept

EPOCHS = 5  # of the jobs


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
        pl.Trainer(
            max_epochs=1,
            accelerator="cpu",
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            callbacks=[ScheduledHyperparameters({0: {"lr": 0.1}}, module=Net)],
        ).fit(Net(lr=0.2), datamodule=Data())
