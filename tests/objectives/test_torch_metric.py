from __future__ import annotations

import copy
import re
from pathlib import Path
from typing import Any

import cloudpickle
import lightning.pytorch as pl
import pytest
import torch
from ConfigSpace import ConfigurationSpace
from lightning.pytorch.callbacks import EarlyStopping
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset
from torchmetrics import MeanSquaredError, Metric, MetricCollection, PearsonCorrCoef
from torchmetrics.classification import BinaryF1Score, MulticlassAccuracy, MulticlassAUROC

from lightning_primo import RandomSearch, Search
from lightning_primo.errors import InvalidArgumentError, SearchMismatchError
from lightning_primo.objectives import TorchMetric
from lightning_primo.problem.objective import Kind
from lightning_primo.training import preflight, run_job
from tests.objectives.test_metric import History, trainer
from tests.training.jobs import curve, make_job

pytestmark = [
    pytest.mark.filterwarnings("ignore:The '(train|val)_dataloader' does not have many workers"),
    pytest.mark.filterwarnings("ignore:.*LeafSpec.* is deprecated:FutureWarning"),
]

N_CLASSES = 3


class Returning(pl.LightningModule):
    """A classifier that logs nothing; `returns` makes what its validation step returns of logits and labels."""

    def __init__(self, lr: float = 0.1, returns: Any = lambda logits, y: {"preds": logits, "target": y}) -> None:
        super().__init__()
        self.layer = nn.Linear(2, N_CLASSES)
        self.lr, self.returns = lr, returns
        self.seen: list[list[Tensor]] = []

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return nn.functional.cross_entropy(self.layer(batch[0]), batch[1])

    def on_validation_epoch_start(self) -> None:
        self.seen.append([])

    def validation_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> Any:
        logits = self.layer(batch[0])
        self.seen[-1].append(logits.clone())
        return self.returns(logits, batch[1])

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), self.lr)


class Samples(pl.LightningDataModule):
    def train_dataloader(self) -> Any:
        return DataLoader(TensorDataset(self.points, self.labels), batch_size=6)

    val_dataloader = train_dataloader

    points = torch.randn(20, 2, generator=torch.Generator().manual_seed(0))
    labels = (points > 0).sum(1)


def accuracy() -> MulticlassAccuracy:
    return MulticlassAccuracy(num_classes=N_CLASSES)


@pytest.mark.parametrize(
    "returns",
    [
        lambda logits, y: {"preds": logits, "target": y, "loss": 0.0},
        lambda logits, y: {"logits": logits, "labels": y},
        lambda logits, y: {"y_hat": logits.argmax(1), "y": y},
        lambda logits, y: (logits, y),
    ],
)
def test_the_value_is_that_of_torchmetrics_over_all_batches_of_each_epoch(tmp_path: Path, returns: Any) -> None:
    torch.manual_seed(0)
    objective, module = TorchMetric(accuracy()), Returning(lr=1.0, returns=returns)
    history, stop = History(objective), EarlyStopping("multiclass_accuracy", mode="max", patience=9)
    fit = trainer(tmp_path, objective, history, stop, num_sanity_val_steps=2)
    fit.fit(module, Samples())
    expected = [float(accuracy()(torch.cat(logits), Samples.labels)) for logits in module.seen[1:]]  # after the sanity
    assert [values[0] for values in history.values[1:]] == pytest.approx(expected, rel=1e-6)
    assert len(set(expected)) > 1
    assert float(stop.best_score) == pytest.approx(max(expected), rel=1e-6)
    assert not any("metric" in key for key in module.state_dict())


def test_a_metric_that_keeps_all_predictions_is_emptied(tmp_path: Path) -> None:
    objective, module = TorchMetric(MulticlassAUROC(num_classes=N_CLASSES)), Returning()
    trainer(tmp_path, objective).fit(module, Samples())
    expected = MulticlassAUROC(num_classes=N_CLASSES)(torch.cat(module.seen[-1]), Samples.labels)
    assert objective.value == pytest.approx(float(expected), rel=1e-6)
    assert objective.metric.preds == []  # type: ignore[comparison-overlap]
    assert copy.deepcopy(objective).metric.preds == []  # type: ignore[comparison-overlap]


def test_all_dataloaders_count(tmp_path: Path) -> None:
    objective, module = TorchMetric(accuracy()), Returning()
    data = Samples().train_dataloader()
    trainer(tmp_path, objective, max_epochs=1).fit(module, data, [data, data])
    expected = accuracy()(torch.cat(module.seen[-1]), torch.cat([Samples.labels, Samples.labels]))
    assert objective.value == pytest.approx(float(expected), rel=1e-6)


def test_a_trial_and_its_promotion(tmp_path: Path) -> None:
    fields: Any = {"module": Returning, "data": Samples(), "objectives": (TorchMetric(accuracy()),)}
    whole = run_job(make_job(tmp_path / "whole", 3, **fields))
    assert whole.ok, whole.reason
    objectives = cloudpickle.loads(cloudpickle.dumps(fields["objectives"]))
    parts = [run_job(make_job(tmp_path / "parts", epoch, **{**fields, "objectives": objectives})) for epoch in (1, 3)]
    assert curve(*parts) == curve(whole)
    assert all(-1.0 <= losses[0] <= 0.0 for losses in curve(whole).values())


@pytest.mark.parametrize(
    ("returns", "what"),
    [
        (lambda logits, y: None, "nothing"),
        (lambda logits, y: logits, "a Tensor"),
        (lambda logits, y: {"loss": 0.0, "target": y}, "a dict with the keys 'loss', 'target'"),
        (lambda logits, y: (logits, y, 0), "a tuple of 3"),
    ],
)
def test_other_outputs_are_refused_before_the_search(tmp_path: Path, returns: Any, what: str) -> None:
    job = make_job(tmp_path, module=lambda _: Returning(returns=returns), data=Samples(), objectives=(
        TorchMetric(accuracy()),
    ))  # fmt: skip
    with pytest.raises(InvalidArgumentError, match=f"'validation_step' of Returning returned {what}.*return {{'preds'"):
        preflight(job)


def test_more_than_a_number_is_refused(tmp_path: Path) -> None:
    objective = TorchMetric(MulticlassAccuracy(num_classes=N_CLASSES, average=None))
    with pytest.raises(InvalidArgumentError, match=r"one number.*shape \(3,\); average"):
        trainer(tmp_path, objective).fit(Returning(), Samples())


def test_without_validation_it_is_refused_before_the_first_step(tmp_path: Path) -> None:
    module = Returning()
    with pytest.raises(InvalidArgumentError, match="computed in validation, but Returning has none"):
        trainer(tmp_path, TorchMetric(accuracy()), limit_val_batches=0).fit(module, Samples())
    assert module.global_step == 0


def test_name_and_direction_are_the_metrics() -> None:
    objective = TorchMetric(accuracy(), reference=0.5).objective
    assert (objective.name, objective.mode, objective.kind) == ("multiclass_accuracy", "max", Kind.TRAINED)
    assert objective.reference_loss == -0.5
    error = TorchMetric(MeanSquaredError(), log=True).objective
    assert (error.name, error.mode, error.log) == ("mean_squared_error", "min", True)
    names = [TorchMetric(made).objective.name for made in (BinaryF1Score(), MulticlassAUROC(num_classes=2))]
    assert names == ["binary_f1_score", "multiclass_auroc"]
    given = TorchMetric(1 - accuracy(), mode="min", name="val_error").objective
    assert (given.name, given.mode) == ("val_error", "min")


@pytest.mark.parametrize(
    ("metric", "message"),
    [
        (PearsonCorrCoef(), "'mode' must be given: PearsonCorrCoef does not say"),
        (MetricCollection([accuracy()]), r"MetricCollection.*TorchMetric\(collection\['MulticlassAccuracy'\]\)"),
        (MulticlassAccuracy, r"the class MulticlassAccuracy; write MulticlassAccuracy\(...\)"),
        ("val_acc", r"got 'val_acc'; for a metric that the module logs, use Metric\('name'\)"),
    ],
)
def test_what_is_no_metric_with_a_direction_is_refused(metric: Any, message: str) -> None:
    with pytest.raises(InvalidArgumentError, match=message):
        TorchMetric(metric)


def test_other_metrics_have_other_definitions() -> None:
    metrics = [
        accuracy(),
        MulticlassAccuracy(num_classes=4),
        MulticlassAccuracy(num_classes=N_CLASSES, average="micro"),
        MulticlassAUROC(num_classes=N_CLASSES),
        MulticlassAUROC(num_classes=N_CLASSES, thresholds=5),
        MulticlassAUROC(num_classes=N_CLASSES, thresholds=[0.1, 0.9]),
        1 - accuracy(),
        1 + accuracy(),
    ]
    definitions = [TorchMetric(metric, mode="max").definition for metric in metrics]
    assert len(set(definitions)) == len(metrics)
    assert definitions[0] == (
        "MulticlassAccuracy(average='macro', multidim_average='global', num_classes=3, top_k=1, zero_division=0)"
    )
    updated = accuracy()
    updated.update(torch.tensor([0, 1]), torch.tensor([0, 2]))
    assert TorchMetric(updated).definition == definitions[0]


def test_copies_and_pickles() -> None:
    objective = TorchMetric(accuracy())
    for twin in (copy.deepcopy(objective), cloudpickle.loads(cloudpickle.dumps(objective))):
        assert (twin.objective, twin.state_key) == (objective.objective, objective.state_key)
        assert twin.metric is not objective.metric


def test_a_search_and_another_metric_of_the_same_name(tmp_path: Path) -> None:
    space = ConfigurationSpace({"lr": (0.01, 1.0)})

    def search(metric: Metric) -> Search:
        objective = TorchMetric(metric, name="val_acc")
        return Search(
            space, module=Returning, datamodule=Samples(), objectives=[objective], epochs=(1, 2),
            algorithm=RandomSearch(), directory=tmp_path, trainer={"accelerator": "cpu"},
        )  # fmt: skip

    (trial,) = search(accuracy()).run(trials=1, progress=False).trials
    assert 0.0 <= trial.values["val_acc"] <= 1.0
    with pytest.raises(SearchMismatchError, match="average='micro'"):
        search(MulticlassAccuracy(num_classes=N_CLASSES, average="micro")).run(trials=2, progress=False)


def test_the_example_of_the_documentation() -> None:
    page = (Path(__file__).parents[2] / "docs/objectives.md").read_text()
    (example,) = re.findall(r"^\| `(TorchMetric.*?)` \|", page, flags=re.MULTILINE)
    assert eval(example, globals()).objective.name == "multiclass_accuracy"
