"""Children that start from their parent's weights, as jobs of a search."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from lightning_primo.errors import CheckpointWarning, InvalidArgumentError, MetricNotLoggedError
from lightning_primo.factory import Factory
from lightning_primo.layout import CHECKPOINT
from lightning_primo.nas.architecture_oracle import Architectures
from lightning_primo.objectives import Metric
from lightning_primo.problem.architecture import LayerKind
from lightning_primo.problem.trial import Status
from lightning_primo.training import Job, TrainingOptions, run_job
from lightning_primo.training.inheritance import Morphism
from models import ConvNetClassifier
from tests.training.jobs import state

PARENT = {
    "n_conv": 2,
    "n_filters_1": 6,
    "n_filters_2": 8,
    "batch_norm": True,
    "n_fc": 1,
    "n_neurons_1": 12,
    "lr": 3e-3,
}
DEEPER = {**PARENT, "n_fc": 2, "n_neurons_2": 12}
PRUNED = {**PARENT, "n_filters_2": 7, "n_neurons_1": 10}
IMAGES = torch.rand(48, 1, 8, 8, generator=torch.Generator().manual_seed(0))
LABELS = (IMAGES.mean(dim=(1, 2, 3)) * 97).long() % 3


class Net(ConvNetClassifier):
    """Also logs how far it is from a module whose weights are given, before it has trained."""

    def __init__(self, **config: Any) -> None:
        super().__init__(**config, in_channels=1, image_size=8, n_classes=3)

    def on_train_start(self) -> None:
        if self.current_epoch == 0:
            torch.save(self.logits(), Path(self.trainer.default_root_dir) / "first_logits.pt")

    def logits(self) -> torch.Tensor:
        was, _ = self.training, self.eval()
        with torch.no_grad():
            logits: torch.Tensor = self(IMAGES)
        self.train(was)
        return logits


class Data(pl.LightningDataModule):
    def train_dataloader(self) -> Any:
        return DataLoader(TensorDataset(IMAGES, LABELS), batch_size=16, shuffle=True)

    def val_dataloader(self) -> Any:
        return DataLoader(TensorDataset(IMAGES, LABELS), batch_size=48)


def make_job(directory: Path, config: dict[str, Any], epoch: int = 2, **fields: Any) -> Job:
    return Job(
        **{
            "trial_id": 1,
            "config": config,
            "seed": 5,
            "epoch": epoch,
            "max_epochs": 4,
            "directory": directory,
            "factory": Factory(Net, Data()),
            "objectives": (Metric("val_loss"),),
            "options": TrainingOptions(trainer={"accelerator": "cpu"}),
            **fields,
        }
    )


@pytest.fixture(scope="module")
def parent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("parent")
    assert run_job(make_job(directory, PARENT, 20, max_epochs=20)).ok
    return directory


def trained(directory: Path, config: dict[str, Any]) -> Net:
    net = Net(**config)
    net.load_state_dict(torch.load(directory / CHECKPOINT, weights_only=True)["state_dict"])
    return net


def test_a_deeper_child_begins_where_its_parent_ended(parent: Path, tmp_path: Path) -> None:
    inheritance = Morphism(config=PARENT, directory=parent, operation="deepen")
    assert run_job(make_job(tmp_path, DEEPER, inheritance=inheritance)).ok
    first = torch.load(tmp_path / "first_logits.pt", weights_only=True)
    expected = trained(parent, PARENT).logits()
    assert (first - expected).norm() < 0.02 * expected.norm()  # the noise that breaks the symmetry


def test_a_pruned_child_is_trained_to_match_its_parent(parent: Path, tmp_path: Path) -> None:
    inheritance = Morphism(config=PARENT, directory=parent, operation="prune")
    evaluation = run_job(make_job(tmp_path, PRUNED, 12, max_epochs=12, final=True, inheritance=inheritance))
    assert evaluation.ok
    assert (evaluation.epoch, evaluation.cost, evaluation.finished) == (12, 12.0, True)
    assert evaluation.counts_at(20)
    expected = trained(parent, PARENT).logits()
    first = torch.load(tmp_path / "first_logits.pt", weights_only=True)
    assert (trained(tmp_path, PRUNED).logits() - expected).norm() < 0.8 * (first - expected).norm()


@pytest.mark.parametrize(("operation", "config"), [("deepen", DEEPER), ("prune", PRUNED)])
def test_interrupted_and_resumed_it_is_the_same_to_the_bit(
    parent: Path, tmp_path: Path, operation: str, config: dict[str, Any]
) -> None:
    inheritance = Morphism(config=PARENT, directory=parent, operation=operation)
    whole = make_job(tmp_path / "whole", config, 3, inheritance=inheritance)
    parts = dataclasses.replace(whole, directory=tmp_path / "parts")
    for job in (whole, parts):
        job.directory.mkdir()
    after_whole = run_job(whole)
    run_job(dataclasses.replace(parts, epoch=1))
    after_parts = run_job(parts)
    assert after_parts.curve == after_whole.curve
    one, other = state(whole.directory)["state_dict"], state(parts.directory)["state_dict"]
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_without_the_parents_checkpoint_it_is_trained_from_scratch(tmp_path: Path) -> None:
    inheritance = Morphism(config=PARENT, directory=tmp_path / "gone", operation="prune")
    with pytest.warns(CheckpointWarning, match="the trial is trained from scratch"):
        evaluation = run_job(make_job(tmp_path, PRUNED, 1, inheritance=inheritance))
    assert evaluation.ok
    with pytest.warns(CheckpointWarning, match="goes on without its teacher"):
        assert run_job(make_job(tmp_path, PRUNED, 2, inheritance=inheritance)).ok


def test_a_damaged_checkpoint_of_the_parent_is_as_none(tmp_path: Path) -> None:
    damaged = tmp_path / "damaged"
    damaged.mkdir()
    (damaged / CHECKPOINT).write_bytes(b"half a file")
    inheritance = Morphism(config=PARENT, directory=damaged, operation="deepen")
    with pytest.warns(CheckpointWarning, match="cannot be read"):
        assert run_job(make_job(tmp_path / "child", DEEPER, 1, inheritance=inheritance)).ok


class Deferred(Net):
    """Makes its layers late, and anew each time, as drawing from the global generator."""

    def __init__(self, **config: Any) -> None:
        super().__init__(**config)
        self.config = config

    def configure_model(self) -> None:
        self.network = Net(**self.config).network


class RandomSplit(Data):
    def setup(self, stage: str) -> None:
        torch.save(torch.randperm(48), Path(self.trainer.default_root_dir) / "split.pt")  # type: ignore[union-attr]


def test_layers_made_late_inherit_too_and_data_are_split_alike(tmp_path: Path) -> None:
    factory = Factory(Deferred, RandomSplit())
    parent, child = tmp_path / "parent", tmp_path / "child"
    assert run_job(make_job(parent, PARENT, 4, factory=factory)).ok
    inheritance = Morphism(config=PARENT, directory=parent, operation="deepen")
    assert run_job(make_job(child, DEEPER, 1, factory=factory, inheritance=inheritance)).ok
    first = torch.load(child / "first_logits.pt", weights_only=True)
    expected = trained(parent, PARENT).logits()
    assert (first - expected).norm() < 0.02 * expected.norm()
    assert torch.equal(*(torch.load(path / "split.pt", weights_only=True) for path in (parent, child)))


def test_a_metric_of_the_training_step_is_missed_where_it_is_distilled(parent: Path, tmp_path: Path) -> None:
    class Logs(Net):
        distillation_step = None  # type: ignore[assignment]

        def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
            loss = super().training_step(batch, batch_idx)
            self.log("own_loss", loss, on_epoch=True)
            return loss

        def on_train_epoch_end(self) -> None:
            """Nothing to log of the steps that were not made."""

    inheritance = Morphism(config=PARENT, directory=parent, operation="prune")
    job = make_job(tmp_path, PRUNED, 1, factory=Factory(Logs, Data()), objectives=(Metric("own_loss"),))
    with pytest.raises(MetricNotLoggedError) as caught:
        run_job(dataclasses.replace(job, inheritance=inheritance))
    assert "in distillation_step(batch, batch_idx, teacher), which takes the place of training_step" in str(
        caught.value
    )


def test_a_child_that_does_not_fit_its_parent_is_an_error_of_the_trial(parent: Path, tmp_path: Path) -> None:
    inheritance = Morphism(config=PARENT, directory=parent, operation="deepen")
    evaluation = run_job(make_job(tmp_path, PRUNED, inheritance=inheritance))
    assert evaluation.status is Status.ERROR
    assert "one stage more than its parent" in evaluation.reason


def test_architectures_are_read_off_modules_and_kept() -> None:
    built: list[str] = []

    def module(config: dict[str, Any]) -> Net:
        net = Net(**config)
        built.append(str(net.network.head.weight.device))
        return net

    architectures = Architectures(Factory(module))
    first, second = architectures(PARENT), architectures(DEEPER)
    assert architectures(PARENT) is first
    assert built == ["cpu", "meta"]
    assert [(layer.width, layer.units, layer.kind) for layer in second.layers] == [
        ("n_filters_1", 6, LayerKind.CONVOLUTION),
        ("n_filters_2", 8, LayerKind.CONVOLUTION),
        ("n_neurons_1", 12, LayerKind.LINEAR),
        ("n_neurons_2", 12, LayerKind.LINEAR),
    ]
    assert first.n_parameters == sum(p.numel() for p in Net(**PARENT).parameters())
    assert first.training == ("lr", "batch_size")
    assert DEEPER in [{k: v for k, v in deeper.items() if not k.startswith("pool")} for deeper in first.deeper]
    assert all(architectures(deeper).layers for deeper in first.deeper)


def test_modules_that_are_no_chain_or_not_morphable_are_refused() -> None:
    class Plain(pl.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(2, 2)

    with pytest.raises(InvalidArgumentError, match=r"lacks 'stages' and 'deeper'"):
        Architectures(Factory(lambda config: Plain()))({})

    with pytest.raises(InvalidArgumentError, match=r"no module could be built for .*n_conv.*ValueError"):
        Architectures(Factory(lambda config: Net(**config)))(
            {**PARENT, "n_conv": 4, "n_filters_3": 4, "n_filters_4": 4}
        )

    class Manual(Net):
        automatic_optimization = False

    with pytest.raises(InvalidArgumentError, match="optimises manually"):
        Architectures(Factory(lambda config: Manual(**config)))(PARENT)

    class Forgot(Net):
        training_hyperparameters = "lr"  # type: ignore[assignment]

    with pytest.raises(InvalidArgumentError, match=r"write \('lr',\)"):
        Architectures(Factory(lambda config: Forgot(**config)))(PARENT)

    class Broken(Net):
        def stages(self) -> Any:
            return {}["x"]

    with pytest.raises(InvalidArgumentError, match=r"Broken cannot be read as a chain .*KeyError: 'x'"):
        Architectures(Factory(lambda config: Broken(**config)))(PARENT)

    class Misnamed(Net):
        def stages(self) -> Any:
            return [stage._replace(width=stage.width and stage.width + "x") for stage in super().stages()]

    with pytest.raises(InvalidArgumentError, match="must name the hyperparameter"):
        Architectures(Factory(lambda config: Misnamed(**config)))(PARENT)
