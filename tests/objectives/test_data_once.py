"""The data are set up once per process to measure modules, whoever asks; a Trainer sets up its own."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from ConfigSpace import ConfigurationSpace
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from lightning_primo import FLOPs, Metric, PeakMemory, Search
from lightning_primo.algorithms.random_search import RandomSearch
from lightning_primo.factory import Factory
from lightning_primo.objectives.exact_costs import ExactCosts
from lightning_primo.objectives.example_inputs import inputs_before_training
from lightning_primo.training import run_job
from tests.tiny import Data, Net
from tests.training.jobs import make_job

calls: list[str] = []


@pytest.fixture(autouse=True)
def _none_yet() -> None:
    calls.clear()


class Slow(Data):
    """Notes what is asked of it without a Trainer."""

    def __init__(self, classes: int = 3) -> None:
        super().__init__()
        self.n_classes = classes

    def prepare_data(self) -> None:
        if self.trainer is None:
            calls.append("prepare")

    def setup(self, stage: str) -> None:
        super().setup(stage)
        self.classes = self.n_classes
        if self.trainer is None:
            calls.append(f"setup {self.n_classes}")


class Late(Net):
    """Asks for the data when it is set up."""

    def setup(self, stage: str) -> None:
        self.head = nn.Linear(4, self.trainer.datamodule.classes)  # type: ignore[attr-defined]


ONCE = ["prepare", "setup 3"]


@pytest.mark.parametrize("module", [Net, Late])
def test_a_search_sets_up_its_data_once_to_measure(tmp_path: Path, module: Any) -> None:
    Search(
        ConfigurationSpace({"lr": (0.001, 0.1)}, seed=1),
        module=module,
        datamodule=Slow(),
        objectives=[
            Metric("val_loss"),
            FLOPs(),
            PeakMemory("cpu"),
            PeakMemory("cpu", training=True, batch_size=4, name="training"),
        ],
        constraints=[FLOPs(at_most=1e9, name="bounded")],
        epochs=(1, 1),
        directory=tmp_path,
        algorithm=RandomSearch(),
        trainer={"accelerator": "cpu", "logger": False},
    ).run(trials=3, progress=False)
    assert calls == ONCE


def test_jobs_that_come_to_a_worker_set_them_up_once(tmp_path: Path) -> None:
    job = make_job(tmp_path, 1, data=Slow(), objectives=(Metric("val_loss"), PeakMemory("cpu")))
    for number in range(3):
        assert run_job(pickle.loads(pickle.dumps(make_job(tmp_path / str(number), 1, factory=job.factory)))).ok
        arrived = pickle.loads(pickle.dumps(job))
        assert ExactCosts(arrived.factory, [FLOPs()])({}) == {"flops": 12}
    assert calls == ONCE


def test_each_configuration_of_the_data_has_its_own() -> None:
    factory = Factory(Net, Slow)
    for config in ({"classes": 3, "lr": 0.1}, {"classes": 3, "lr": 0.2}, {"classes": 5}, {"classes": 3}):
        inputs_before_training(factory, config, Net())
    assert calls == [*ONCE, "prepare", "setup 5"]
    inputs_before_training(Factory(Net, Slow), {"classes": 5}, Net())  # of another search
    assert calls[4:] == ["prepare", "setup 5"]


def test_a_function_may_read_everything() -> None:
    factory = Factory(Net, lambda config: Slow(config["classes"]))
    for lr in (0.1, 0.2, 0.1):
        inputs_before_training(factory, {"classes": 3, "lr": lr}, Net())
    assert calls == 2 * ONCE


class Scaling(Net):
    """Changes a batch where it is."""

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        batch[0].mul_(2)
        return batch


class Constant(Slow):
    def train_dataloader(self) -> Any:
        return DataLoader(TensorDataset(torch.ones(2, 2), torch.ones(2, 1)))


class Shifting(Constant):
    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        return batch[0] + len(calls), batch[1]


class Doubling(Net):
    def on_before_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        return batch[0] * 2, batch[1]


def first(inputs: Any) -> float:
    tensors: list[Tensor] = list(inputs.inputs if hasattr(inputs, "inputs") else [inputs])
    return float(torch.as_tensor(tensors[0]).flatten()[0])


def test_a_module_changes_its_own_copy() -> None:
    factory = Factory(Scaling, Constant())
    assert [first(inputs_before_training(factory, {}, Scaling())) for _ in range(3)] == [2.0, 2.0, 2.0]
    assert first(inputs_before_training(factory, {}, Net())) == 1.0
    assert calls == ONCE


def test_what_a_module_has_changed_before_the_data_did_is_of_this_module_alone() -> None:
    factory = Factory(Doubling, Shifting())
    assert first(inputs_before_training(factory, {}, Doubling())) == 2.0 + len(ONCE)
    assert first(inputs_before_training(factory, {}, Net())) == 1.0 + 2 * len(ONCE)
    assert first(inputs_before_training(factory, {}, Doubling())) == 2.0 + 3 * len(ONCE)
    assert first(inputs_before_training(factory, {}, Net())) == 1.0 + 2 * len(ONCE)  # what was kept
    assert calls == 3 * ONCE
