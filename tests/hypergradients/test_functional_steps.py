"""Steps are done once more without a trace: in the module, in what is logged, in what is drawn."""

from __future__ import annotations

from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from lightning.pytorch.loggers import CSVLogger
from torch import nn
from torch.optim import SGD
from torchmetrics import MeanMetric, MetricCollection, SumMetric
from torchmetrics.aggregation import CatMetric

from lightning_primo.errors import InvalidArgumentError
from lightning_primo.hypergradients import ImplicitHypergradients, NeumannSeries, Unbounded, UnrolledHypergradients
from tests.hypergradients.modules import DOUBLE, D, N, fit

BOTH = [
    lambda: ImplicitHypergradients({"penalty": Unbounded()}, every=1, solver=NeumannSeries(2), optimizer=still),
    lambda: UnrolledHypergradients({"penalty": Unbounded()}, steps=2, optimizer=still),
]


def still(parameters: Any) -> Any:
    return SGD(parameters, lr=0.0)


class Keeps(pl.LightningModule):
    """Keeps in every way what happened in its steps, and logs in every way."""

    modes: list[tuple[bool, bool]] = []  # noqa: RUF012 - of the class, so that nothing of it is put back

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(D).double()
        self.dropout = nn.Dropout(0.2)
        self.weight = nn.Parameter(torch.ones(D, dtype=DOUBLE))
        self.register_buffer("penalty", torch.tensor(0.1, dtype=DOUBLE))
        self.register_buffer("moving", torch.zeros((), dtype=DOUBLE))
        self.register_buffer("replaced", torch.zeros((), dtype=DOUBLE))
        self.n_steps = 0
        self.losses: list[float] = []
        self.by_batch: dict[int, float] = {}
        self.in_place = SumMetric()
        self.metrics = MetricCollection({"mean": MeanMetric(), "all": CatMetric()})

    def loss(self, batch: Any) -> torch.Tensor:
        x, y = batch
        return (self.dropout(self.norm(x)) @ self.weight - y).square().mean()

    def training_step(self, batch: Any) -> Any:
        loss = self.loss(batch) + self.penalty * self.weight.square().sum()
        self.n_steps += 1
        self.losses.append(loss.item())
        self.by_batch[len(self.by_batch)] = loss.item()
        self.in_place.update(loss.detach())
        self.metrics.update(loss.detach())
        with torch.no_grad():
            self.moving += loss
            self.replaced = self.replaced + loss
        self.log("on_step", loss, on_step=True, on_epoch=True)
        self.log_dict({"of_a_dict": loss, "metric": self.in_place}, on_step=False, on_epoch=True)
        if self.logger is not None:
            self.logger.log_metrics({"by_hand": 1.0}, step=self.n_steps)
            self.logger.experiment.log_metrics({"further": 1.0}, step=self.n_steps)
        return {"loss": loss}

    def validation_step(self, batch: Any, batch_idx: int) -> Any:
        Keeps.modes.append((self.training, self.trainer.validating))
        loss = self.loss(batch)
        self.in_place.update(loss.detach())
        self.log("val_loss", loss)
        return loss

    def configure_optimizers(self) -> Any:
        return SGD(self.parameters(), lr=0.01)


def traces(module: Keeps, trainer: pl.Trainer) -> dict[str, Any]:
    return {
        "state": {name: tensor.tolist() for name, tensor in module.state_dict().items()},
        "logged": {n: v.item() for n, v in trainer.callback_metrics.items() if not n.startswith("tuned")},
        "kept": (module.n_steps, module.losses, module.by_batch),
        "metrics": (module.in_place.compute().item(), {n: m.compute().tolist() for n, m in module.metrics.items()}),
        "random": torch.get_rng_state().tolist(),
    }


@pytest.mark.filterwarnings("ignore:The ``compute`` method of metric")
@pytest.mark.parametrize("make", BOTH, ids=["implicit", "unrolled"])
def test_nothing_is_left_behind(make: Any, tmp_path: Any) -> None:
    found = []
    Keeps.modes = []
    for name, callbacks in (("without", []), ("with", [make()])):
        torch.manual_seed(0)
        module = Keeps()
        logger = CSVLogger(tmp_path, name=name, version=0)
        batches = [list(range(12)), list(range(12, N))] * 2
        trainer = fit(module, *callbacks, batches=batches, logger=logger, log_every_n_steps=1, max_epochs=2)
        found.append(traces(module, trainer))
        by_hand = [row for row in (tmp_path / name / "version_0/metrics.csv").read_text().splitlines() if "1.0" in row]
        found[-1]["by hand"] = len(by_hand)
        assert trainer.loggers == [logger]
        assert "log" not in vars(module)
    assert found[1] == found[0]
    assert found[0]["kept"][0] == 8
    assert len(Keeps.modes) > 4  # two epochs of each training, and what was done once more
    assert set(Keeps.modes) == {(False, True)}


class Returns(Keeps):
    """Returns something else from its steps."""

    def __init__(self, training: Any = lambda loss: loss, validation: Any = lambda loss: loss) -> None:
        super().__init__()
        self.of_training, self.of_validation = training, validation

    def training_step(self, batch: Any) -> Any:
        return self.of_training(super().training_step(batch)["loss"])

    def validation_step(self, batch: Any, batch_idx: int) -> Any:
        return self.of_validation(super().validation_step(batch, batch_idx))


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (lambda loss: None, "'validation_step' of Returns must return the loss .*returns None"),
        (lambda loss: {"preds": loss}, "'validation_step'"),
        (lambda loss: torch.stack([loss, loss]), "'validation_step'"),
        (lambda loss: loss.detach(), "'validation_step' of Returns returns has no graph"),
    ],
)
@pytest.mark.parametrize("make", BOTH, ids=["implicit", "unrolled"])
def test_a_held_out_loss_that_cannot_be_differentiated_is_told(make: Any, value: Any, message: str) -> None:
    with pytest.raises(InvalidArgumentError, match=message):
        fit(Returns(validation=value), make(), batches=[list(range(N))])


@pytest.mark.filterwarnings("ignore:`training_step` returned `None`")
@pytest.mark.parametrize("make", BOTH, ids=["implicit", "unrolled"])
def test_batches_that_are_left_out(make: Any) -> None:
    module, descent = Returns(training=lambda loss: None), make()
    if isinstance(descent, UnrolledHypergradients):
        fit(module, descent, batches=[list(range(N))] * 2)
    else:
        fit(module, descent, batches=[list(range(N))] * 2)
    assert descent.tuned() == {"tuned_penalty": pytest.approx(0.1)}


class Attends(pl.LightningModule):
    """Attention, of which most kernels have no second derivatives."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.TransformerEncoderLayer(4, 2, 8, batch_first=True, dtype=DOUBLE)
        self.register_buffer("penalty", torch.tensor(0.1, dtype=DOUBLE))

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        x, y = batch
        error = self.layer(x[:, None, :].expand(-1, 3, -1)).mean((1, 2)) - y
        return error.square().mean() + self.penalty * sum(weight.square().sum() for weight in self.parameters())

    def validation_step(self, batch: Any, batch_idx: int) -> Any:
        x, y = batch
        return (self.layer(x[:, None, :].expand(-1, 3, -1)).mean((1, 2)) - y).square().mean()

    def configure_optimizers(self) -> Any:
        return SGD(self.parameters(), lr=0.01)


@pytest.mark.parametrize("make", BOTH, ids=["implicit", "unrolled"])
def test_attention_is_differentiated_twice(make: Any) -> None:
    fit(Attends(), make(), batches=[list(range(N))] * 2)
