"""The metric of what is deployed: the module's own validation, with the artefact in place of its ``forward``."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from lightning.pytorch.loggers import TensorBoardLogger

from lightning_primo.errors import InvalidArgumentError, MetricNotLoggedError, NotDeployableError
from lightning_primo.objectives import DeployedMetric
from lightning_primo.objectives.deployed_validation import validate_deployed
from lightning_primo.problem.trial import Status
from lightning_primo.runtimes import OnnxRuntime, Quantised
from lightning_primo.training import run_job
from tests.tiny import Data, Net, train_with
from tests.training.jobs import make_job

OWN = OnnxRuntime()


class Direct(Net):
    """Its validation goes past its forward."""

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        x, y = batch
        self.log("val_loss", (self.net(x) - y).square().mean())


class Constant(Net):
    """Its validation asks nothing of it."""

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.log("val_loss", 1.0)


class Exact(Net):
    """Its loss is the same wherever the same is computed."""

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        x, y = torch.full((4, 2), 0.5), torch.ones(4, 1)
        self.log("val_loss", (self(x) - y).square().mean(), on_step=False, on_epoch=True)


@pytest.mark.slow
def test_a_metric_of_the_artefact_is_that_of_the_module_where_it_computes_the_same(tmp_path: Path) -> None:
    int8 = DeployedMetric("val_loss", Quantised(OWN, calibration_batches=2), name="loss_int8")
    assert int8.objective.name == "loss_int8"
    for metric, off in ((DeployedMetric("val_loss", OWN), 1e-4), (int8, 0.1)):
        torch.manual_seed(0)  # int8 cuts off what is beyond the calibration's values, as it is with some weights
        module = Exact()
        train_with(metric, module, tmp_path)
        with torch.no_grad():
            expected = (module.eval()(torch.full((4, 2), 0.5)) - 1).square().mean()
        assert metric.value == pytest.approx(float(expected), rel=off)
    assert metric.value != float(expected)  # of int8


class Reading(Exact):
    """Its validation reads the data module and writes to the logger."""

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        super().validation_step(batch, batch_idx)
        self.log("n_setups", float(self.trainer.datamodule.n_setups))  # type: ignore[attr-defined]
        self.logger.log_metrics({"n": 1.0})
        self.logger.experiment.add_scalar("n", 1.0)


def test_a_validation_sees_data_module_and_logger(tmp_path: Path) -> None:
    data = Data()
    trainer = pl.Trainer(
        max_epochs=1,
        accelerator="cpu",
        logger=TensorBoardLogger(tmp_path),
        log_every_n_steps=1,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    module = Reading()
    trainer.fit(module, datamodule=data)
    n_setups = data.n_setups
    logged = validate_deployed(trainer, module, OWN)
    assert logged["n_setups"] == n_setups == data.n_setups
    assert data.trainer is trainer
    assert trainer.datamodule is data  # type: ignore[attr-defined]


def test_several_processes_are_refused_before_the_training() -> None:
    trainer = SimpleNamespace(world_size=2)
    with pytest.raises(InvalidArgumentError, match=r"DeployedMetric\('val_loss', ...\) validates in one process"):
        DeployedMetric("val_loss", OWN).on_fit_start(trainer, Exact())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("module", "how"),
    [(Direct, "it calls Linear itself"), pytest.param(Constant, "it never calls", marks=pytest.mark.slow)],
)
def test_a_validation_that_goes_past_forward_is_refused(tmp_path: Path, module: Any, how: str) -> None:
    with pytest.raises(NotDeployableError, match=f"validation of {module.__name__} does not go through.*{how}"):
        train_with(DeployedMetric("val_loss", OWN), module(), tmp_path)


@pytest.mark.slow
def test_a_metric_that_the_validation_does_not_log(tmp_path: Path) -> None:
    with pytest.raises(MetricNotLoggedError, match="'train_loss'"):
        train_with(DeployedMetric("train_loss", OWN), Exact(), tmp_path)


@pytest.mark.slow
def test_in_a_search_it_is_there_at_the_rung_alone(tmp_path: Path) -> None:
    job = make_job(tmp_path, 3, module=Exact, objectives=(DeployedMetric("val_loss", OWN),))
    evaluation = run_job(job)
    assert evaluation.status is Status.OK, evaluation.reason
    values = [losses[0] for _, losses in sorted(evaluation.curve.items())]
    assert [value == value for value in values] == [False, False, True]
    assert evaluation.losses[0] == values[-1]
