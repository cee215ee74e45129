"""What modules are called with to be measured: from outside, as it is, and drawn where no first row is a sample."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from ConfigSpace import ConfigurationSpace
from torch import Tensor, nn
from torch.utils.data import DataLoader

from lightning_primo import FLOPs, Metric, Search
from lightning_primo.algorithms.random_search import RandomSearch
from lightning_primo.errors import NotMeasurableError
from lightning_primo.factory import Factory
from lightning_primo.factory.ready_data import called_alone
from lightning_primo.objectives import CostCallback, Latency, ParameterCount, PeakMemory
from lightning_primo.objectives.exact_costs import ExactCosts
from lightning_primo.objectives.example_inputs import inputs_before_training
from tests.tiny import Data, Net

NODES, EDGES, FEATURES, WIDTH = 5, 8, 3, 4


class GraphNet(pl.LightningModule):
    """Sums over neighbours: a linear layer for every node."""

    def __init__(self, width: int = WIDTH) -> None:
        super().__init__()
        self.layer = nn.Linear(FEATURES, width, bias=False)

    def forward(self, x: Tensor, edge_index: Tensor, batch: Tensor) -> Tensor:
        hidden = self.layer(x)
        return torch.zeros_like(hidden).index_add(0, edge_index[1], hidden[edge_index[0]])


def graph(_: Any = None) -> tuple[dict[str, Tensor], Tensor]:
    return {
        "x": torch.rand(NODES, FEATURES),
        "edge_index": torch.randint(NODES, (2, EDGES)),
        "batch": torch.zeros(NODES, dtype=torch.long),
    }, torch.zeros(1)


class GraphData(pl.LightningDataModule):
    def train_dataloader(self) -> Any:
        return DataLoader([graph()] * 4, batch_size=2, collate_fn=lambda samples: samples[0])  # type: ignore[arg-type]


def test_a_graph_that_is_drawn_is_one_sample_as_it_is() -> None:
    expected = {"flops": NODES * FEATURES * WIDTH}
    assert ExactCosts(Factory(GraphNet, GraphData()), [FLOPs()])({}) == expected
    assert ExactCosts(Factory(GraphNet, GraphData()), [FLOPs(batch_size=None)])({}) == expected


def test_a_graph_that_is_given_is_measured_as_it_is_or_refused() -> None:
    inputs = graph()[0]
    module = GraphNet()
    assert FLOPs(batch_size=None).measure(module, inputs) == NODES * FEATURES * WIDTH
    with pytest.raises(NotMeasurableError, match=r"first dimensions of .5, 2, 5. may be a graph .* 'batch_size=None'"):
        FLOPs().measure(module, inputs)
    with pytest.raises(NotMeasurableError, match="'batch_size=None'"):
        Latency("cpu", batch_size=32).measure(module, inputs)
    memory = PeakMemory("cpu", batch_size=None)
    assert memory.measure(module, inputs) > 0
    assert memory.place()["batch_size"] == Latency("cpu", batch_size=None).place()["batch_size"] == "as it is"


class Keeps(CostCallback):
    """An objective of the user's, which knows nothing of samples."""

    def __init__(self) -> None:
        super().__init__(ParameterCount(name="kept").objective)

    def measure(self, module: nn.Module, inputs: Any) -> float:
        return float(inputs["edge_index"].shape[1])


def test_objectives_of_the_users_own_get_plain_inputs() -> None:
    assert ExactCosts(Factory(GraphNet, GraphData()), [Keeps()])({}) == {"kept": EDGES}


class Reshaping(Net):
    """Its step gives its forward something else than the batch holds."""

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.net(x.reshape(-1, 2))
        return out


def three(config: Any) -> Tensor:
    return torch.zeros(1, 3 * config["width"], 2)


def test_inputs_from_outside_come_first(tmp_path: Path) -> None:
    factory = Factory(Reshaping, Data(), example_inputs=torch.zeros(1, 7, 2))
    assert ExactCosts(factory, [FLOPs()])({"width": 2}) == {"flops": 7 * (2 * 2 + 2)}
    assert ExactCosts(factory, [FLOPs(example_inputs=three)])({"width": 2}) == {"flops": 6 * (2 * 2 + 2)}
    search = Search(
        ConfigurationSpace({"lr": (0.001, 0.1), "width": (2, 2 + 1)}, seed=1),
        module=Reshaping,
        datamodule=Data(),
        example_inputs=three,
        objectives=[Metric("val_loss"), FLOPs(), FLOPs(name="one", example_inputs=torch.zeros(1, 1, 2))],
        epochs=(1, 1),
        directory=tmp_path,
        algorithm=RandomSearch(),
        trainer={"accelerator": "cpu"},
    )
    trial = search.run(trials=1, progress=False).trials[0]
    width = trial.config["width"]
    assert trial.values["flops"] == 3 * width * (2 * width + width)
    assert trial.values["one"] == 2 * width + width


def test_a_function_that_fails_is_named() -> None:
    def broken(config: Any) -> Any:
        raise KeyError("height")

    job = Factory(Net, Data(), example_inputs=broken)
    with pytest.raises(NotMeasurableError, match=r"'example_inputs'.*failed for \{'width': 2\}: KeyError"):
        inputs_before_training(job, {"width": 2}, Net())
    job = Factory(Net, Data(), example_inputs=lambda config: None)
    with pytest.raises(NotMeasurableError, match="returned None"):
        inputs_before_training(job, {}, Net())


def test_alone_in_a_trainer_a_function_gets_the_hyperparameters(tmp_path: Path) -> None:
    flops = FLOPs(example_inputs=three)
    fit = pl.Trainer(
        default_root_dir=tmp_path, accelerator="cpu", max_epochs=1, callbacks=[flops], logger=False,
        enable_progress_bar=False, enable_model_summary=False, enable_checkpointing=False,
    )  # fmt: skip
    fit.fit(Reshaping(width=2), datamodule=Data())
    assert flops.value == 6 * (2 * 2 + 2)


class Sequences:
    """Batches as somebody made them."""

    def __iter__(self) -> Iterator[Any]:
        return iter([(torch.rand(4, 2), torch.rand(4, 1))])


def test_batches_that_are_made_elsewhere_are_cut() -> None:
    class Made(Data):
        def train_dataloader(self) -> Any:
            return Sequences()

    assert ExactCosts(Factory(Net, Made()), [FLOPs()])({}) == {"flops": 12}


class AsksForTrainer(Data):
    """Cannot be set up without a Trainer, of which it asks in how many processes it is."""

    def prepare_data(self) -> None:
        assert self.trainer is not None
        self.n_devices = self.trainer.num_devices

    def setup(self, stage: str) -> None:
        super().setup(stage)
        self.batch_size = 4 // self.trainer.world_size

    def train_dataloader(self) -> Any:
        return DataLoader(super().train_dataloader().dataset, batch_size=self.batch_size, shuffle=not self.rank)

    @property
    def rank(self) -> int:
        return self.trainer.global_rank


def test_data_that_ask_their_trainer_for_its_processes_are_drawn() -> None:
    inputs = inputs_before_training(Factory(Net, AsksForTrainer()), {}, Net())
    assert inputs.shape == (1, 2)


class Fills(AsksForTrainer):
    def __init__(self) -> None:
        super().__init__()
        self.files: list[str] = []

    def setup(self, stage: str) -> None:
        self.files += ["a", "b"]
        super().setup(stage)


def test_data_that_are_set_up_once_more_have_nothing_twice() -> None:
    data = Fills()
    called_alone(data, "setup", "fit")
    assert data.files == ["a", "b"]
    assert data.trainer is None


class Unreachable(Data):
    n_tried = 0

    def prepare_data(self) -> None:
        self.n_tried += 1
        raise OSError("no network")


def test_what_fails_without_asking_for_a_trainer_is_not_tried_again() -> None:
    data = Unreachable()
    with pytest.raises(OSError, match="no network"):
        called_alone(data, "prepare_data")
    assert data.n_tried == 1


class AsksForMore(Data):
    def setup(self, stage: str) -> None:
        self.trainer.strategy.barrier()


def test_those_that_ask_for_more_are_named_with_the_first_mistake() -> None:
    with pytest.raises(NotMeasurableError, match=r"'NoneType' object has no attribute 'strategy'.*example_inputs"):
        inputs_before_training(Factory(Net, AsksForMore()), {}, Net())
