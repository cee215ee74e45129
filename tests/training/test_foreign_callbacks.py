"""Callbacks and arguments of the user's that count trainings wrongly are refused, the others work."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch.callbacks import (
    BatchSizeFinder,
    EarlyStopping,
    LearningRateFinder,
    ModelCheckpoint,
    ModelPruning,
    ModelSummary,
    RichModelSummary,
    RichProgressBar,
    Timer,
    TQDMProgressBar,
)
from lightning.pytorch.loggers import TensorBoardLogger

from lightning_primo.errors import InvalidArgumentError, MetricNotLoggedError
from lightning_primo.problem.trial import Status
from lightning_primo.training import preflight, run_job
from lightning_primo.training.lengths.by_epochs import ByEpochs
from lightning_primo.training.loggers import make_loggers
from lightning_primo.training.trainer import check_trainer_arguments
from tests.tiny import Net
from tests.training.jobs import make_job


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"max_steps": 100}, "'max_steps' to 100: .*would count as a full one"),
        ({"max_time": "00:01:00:00"}, "'max_time'.*trial_timeout"),
        ({"callbacks": [Timer("00:01:00:00")]}, "Timer: .*would count as a full one"),
        ({"callbacks": LearningRateFinder()}, "search over the learning rate"),
        ({"callbacks": [BatchSizeFinder()]}, "search over the batch size"),
        ({"callbacks": [ModelPruning("l1_unstructured")]}, "its masks are in no checkpoint"),
    ],
)
def test_what_ends_or_fits_inside_a_training_is_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidArgumentError, match=message):
        check_trainer_arguments(arguments)


def test_what_does_not_is_taken() -> None:
    check_trainer_arguments({"max_steps": -1, "max_time": None, "check_val_every_n_epoch": 3, "callbacks": [Timer()]})


def test_also_where_the_module_configures_it(tmp_path: Path) -> None:
    class Finds(Net):
        def configure_callbacks(self) -> Any:
            return [LearningRateFinder()]

    with pytest.raises(InvalidArgumentError, match="'configure_callbacks' of Finds must not hold LearningRateFinder"):
        preflight(make_job(tmp_path, module=Finds))


def test_validation_must_not_leave_out_a_rung() -> None:
    ByEpochs().check_compared({"check_val_every_n_epoch": 3}, 3, 9)
    with pytest.raises(InvalidArgumentError, match=r"every 3 epochs.*not after epoch 4.*multiples of 3"):
        ByEpochs().check_compared({"check_val_every_n_epoch": 3}, 3, 4)
    with pytest.raises(InvalidArgumentError, match=r"got None, .* in optimiser steps by steps="):
        ByEpochs().check_compared({"check_val_every_n_epoch": None}, 3)


@pytest.mark.parametrize("bar", [RichProgressBar, TQDMProgressBar])
def test_progress_bars_of_the_user_are_left_out(tmp_path: Path, bar: Any) -> None:
    evaluation = run_job(make_job(tmp_path, 1, trainer={"callbacks": [bar()]}))
    assert evaluation.status is Status.OK, evaluation.reason


@pytest.mark.parametrize("summary", [ModelSummary, RichModelSummary])
def test_summaries_of_the_user_are_left_out(tmp_path: Path, summary: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_job(make_job(tmp_path, 1, trainer={"callbacks": [summary()]})).ok
    assert "Trainable params" not in capsys.readouterr().out


def test_checkpoints_of_the_user_do_not_mix(tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    for trial in ("a", "b"):
        assert run_job(make_job(tmp_path / trial, 1, trainer={"callbacks": [ModelCheckpoint(shared)]})).ok
    assert not shared.exists()
    assert all(list((tmp_path / trial / "checkpoints" / "shared").glob("*.ckpt")) for trial in ("a", "b"))


def test_nor_do_those_that_the_module_configures(tmp_path: Path) -> None:
    class Configuring(Net):
        def configure_callbacks(self) -> Any:
            every = {"monitor": "val_loss", "filename": "{epoch}", "save_top_k": -1}
            return [ModelCheckpoint(tmp_path / "shared", **every), EarlyStopping("val_loss", patience=9)]

    # A promoted trial goes on with the best models of its first part, which lie where the others will.
    for trial, epoch in (("a", 1), ("b", 1), ("a", 3)):
        evaluation = run_job(make_job(tmp_path / trial, epoch, module=Configuring))
        assert evaluation.ok, evaluation.reason
    assert not (tmp_path / "shared").exists()
    for trial, epochs in (("a", [0, 1, 2]), ("b", [0])):
        files = sorted((tmp_path / trial / "checkpoints" / "shared").iterdir())
        assert [file.name for file in files] == [f"epoch={epoch}.ckpt" for epoch in epochs]
    callbacks = torch.load(tmp_path / "a" / "last.ckpt", weights_only=True)["callbacks"]
    (models,) = (state["best_k_models"] for key, state in callbacks.items() if key.startswith("ModelCheckpoint"))
    assert len(models) == 3


@pytest.mark.filterwarnings("ignore:You requested to overfit")
def test_batches_to_overfit_are_no_obstacle_to_the_preflight(tmp_path: Path) -> None:
    job = make_job(tmp_path, 1, trainer={"overfit_batches": 2})
    assert "val_loss" in (preflight(job) or ())
    assert run_job(job).ok


def test_without_a_logger_it_is_lightnings_own(tmp_path: Path) -> None:
    assert isinstance(make_loggers(None, tmp_path), TensorBoardLogger)


class Untidy(Net):
    def on_train_start(self) -> None:
        torch.set_num_threads(torch.get_num_threads() + 1)
        torch.set_default_device("meta")
        os.environ["OF_THE_TRIAL"] = "1"
        os.chdir("/")

    def on_train_end(self) -> None:
        torch.set_default_device("cpu")


def test_a_trial_leaves_its_process_as_it_was(tmp_path: Path) -> None:
    before = torch.get_num_threads(), torch.get_default_device(), dict(os.environ), Path.cwd()
    run_job(make_job(tmp_path, 1, module=Untidy))
    assert (torch.get_num_threads(), torch.get_default_device(), dict(os.environ), Path.cwd()) == before


class Verbose(Net):
    def training_step(self, batch: Any, batch_idx: int) -> Any:
        raise ValueError("x" * 1_000_000 + "\n" + "y" * 1_000_000)


def test_a_text_without_end_is_shortened(tmp_path: Path) -> None:
    evaluation = run_job(make_job(tmp_path, 1, module=Verbose))
    assert evaluation.status is Status.ERROR
    assert evaluation.reason.startswith("ValueError: xxx")
    assert "characters are left out" in evaluation.reason
    assert len(evaluation.reason) < 25_000
    assert evaluation.signature.startswith("ValueError at ")


class Exhausted(Net):
    def training_step(self, batch: Any, batch_idx: int) -> Any:
        if batch_idx == 1:
            next(iter(()))
        return super().training_step(batch, batch_idx)


class ExhaustedInValidation(Net):
    def validation_step(self, batch: Any, batch_idx: int) -> None:
        super().validation_step(batch, batch_idx)
        next(iter(()))


@pytest.mark.parametrize("module", [Exhausted, ExhaustedInValidation])
def test_an_epoch_that_a_step_has_cut_short_is_an_error(tmp_path: Path, module: Any) -> None:
    evaluation = run_job(make_job(tmp_path, 1, module=module))
    assert evaluation.status is Status.ERROR
    assert "a StopIteration was raised in" in evaluation.reason


class Late(Net):
    """Begins to log in its second epoch."""

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        if self.current_epoch > 0:
            super().validation_step(batch, batch_idx)


def test_a_metric_that_begins_late_counts_where_it_is_compared(tmp_path: Path) -> None:
    job = make_job(tmp_path, 3, module=Late)
    assert preflight(job) is not None
    evaluation = run_job(job)
    assert evaluation.status is Status.OK
    assert [math.isnan(loss) for (loss,) in evaluation.curve.values()] == [True, False, False]
    with pytest.raises(MetricNotLoggedError, match="'val_loss'"):
        run_job(make_job(tmp_path / "rung", 1, module=Late))
    with pytest.raises(MetricNotLoggedError, match="'val_loss'"):
        preflight(make_job(tmp_path / "rung", 1, module=Late))


def test_validation_every_other_epoch_is_what_rungs_are_compared_by(tmp_path: Path) -> None:
    plain = run_job(make_job(tmp_path / "plain", 4))
    every = {"check_val_every_n_epoch": 2}
    halves = [
        run_job(make_job(tmp_path / "half", epoch, start_epoch=start, trainer=every))
        for start, epoch in ((0, 2), (2, 4))
    ]
    assert [e.status for e in halves] == [Status.OK] * 2, halves[0].reason
    assert [math.isnan(loss) for e in halves for (loss,) in e.curve.values()] == [True, False, True, False]
    assert halves[1].losses == plain.losses
    refused = run_job(make_job(tmp_path / "odd", 3, trainer=every))
    assert refused.status is Status.ERROR
    assert "so not after epoch 3" in refused.reason


class AsksForTheBest(Net):
    seen: Any = ()

    def on_train_epoch_end(self) -> None:
        type(self).seen = (*self.seen, self.trainer.checkpoint_callback)


def test_the_checkpoint_callback_of_the_trainer_is_the_users(tmp_path: Path) -> None:
    module = type("Asks", (AsksForTheBest,), {})
    assert run_job(make_job(tmp_path / "without", 2, module=module)).status is Status.OK
    assert set(module.seen) == {None}
    trainer = {"callbacks": [ModelCheckpoint(monitor="val_loss")]}
    assert run_job(make_job(tmp_path / "with", 2, module=module, trainer=trainer)).status is Status.OK
    assert [type(callback) for callback in module.seen] == [type(None)] * 2 + [ModelCheckpoint] * 2
