"""Modules that make layers in `setup`: what they cost, and that their weights can be loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cloudpickle
import pytest
import torch
from ConfigSpace import ConfigurationSpace
from torch import Tensor, nn

from lightning_primo import FLOPs, Metric, ParameterCount, Search
from lightning_primo.algorithms.random_search import RandomSearch
from lightning_primo.errors import NotMeasurableError
from lightning_primo.factory import Factory
from lightning_primo.objectives.exact_costs import ExactCosts
from tests.tiny import Data, Net

WHOLE = 2 * 4 + 4 + 2 * 4 + 4 + 1
HEAD = 4 * 3


class Late(Net):
    """Makes a layer when it is set up, from what the data tell."""

    def setup(self, stage: str) -> None:
        self.head = nn.Linear(4, self.trainer.datamodule.classes, bias=False)  # type: ignore[attr-defined]

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.net[:-1](x)
        return self.net(x) + self.head(hidden).mean(-1, keepdim=True)


class Counted(Data):
    """Knows its classes only after it is set up."""

    def setup(self, stage: str) -> None:
        super().setup(stage)
        self.classes = 3


class Own(Net):
    """Makes a layer and its data when it is set up, once for each call."""

    def setup(self, stage: str) -> None:
        self.head = nn.Linear(4, 3, bias=False)
        self.data = Data()
        self.data.setup(stage)

    def train_dataloader(self) -> Any:
        return self.data.train_dataloader()

    forward = Late.forward


@pytest.mark.parametrize(("module", "data"), [(Late, Counted()), (Late, Counted), (Own, None)])
def test_the_layers_are_counted(module: Any, data: Any) -> None:
    costs = ExactCosts(Factory(module, data), [ParameterCount(), FLOPs()])({})
    assert costs == {"parameters": WHOLE + HEAD, "flops": 2 * 8 + 4 + HEAD}


def test_data_that_are_set_up_do_not_travel() -> None:
    factory = Factory(Late, Counted())
    factory.whole_module({})
    assert b"classes" not in cloudpickle.dumps(vars(factory))


class ReadsSteps(Net):
    """Makes nothing, and asks the Trainer for what only that knows."""

    def setup(self, stage: str) -> None:
        self.steps = self.trainer.estimated_stepping_batches


class NeedsSteps(ReadsSteps):
    """Makes a layer of a width that only a Trainer knows."""

    def setup(self, stage: str) -> None:
        super().setup(stage)
        self.extra = nn.Linear(1, int(self.steps))


class Logs(Late):
    """Tells loggers of itself, as one process of several would."""

    def setup(self, stage: str) -> None:
        super().setup(stage)
        for logger in self.loggers:
            logger.log_hyperparams({"rank": self.global_rank})
        self.logger.experiment.add_text("model", str(self))  # type: ignore[union-attr]
        self.share = 8 // self.trainer.world_size


class WantsItsLogger(Net):
    """Makes nothing, and does with its logger what only that can."""

    def setup(self, stage: str) -> None:
        self.path = Path(self.logger.log_dir or 0)  # type: ignore[arg-type,union-attr]


class Fails(Net):
    def setup(self, stage: str) -> None:
        raise OSError("no such file")


def search(directory: Path, module: Any, data: Any, **options: Any) -> Search:
    return Search(
        ConfigurationSpace({"lr": (0.001, 0.1)}, seed=1),
        module=module,
        datamodule=data,
        objectives=[Metric("val_loss"), ParameterCount(**options)],
        epochs=(1, 1),
        directory=directory,
        algorithm=RandomSearch(),
        trainer={"accelerator": "cpu"},
    )


def test_the_trained_weights_are_loaded_and_bounds_hold(tmp_path: Path) -> None:
    result = search(tmp_path / "a", Late, Counted()).run(trials=1, progress=False)
    assert result.front[0].values["parameters"] == WHOLE + HEAD
    assert result.load(0).head.weight.shape == (3, 4)
    assert search(tmp_path / "b", Late, Counted(), at_most=WHOLE).problem.violation({"lr": 0.01}) is not None


def test_a_setup_that_asks_for_more_is_taken_to_make_nothing_and_refused_where_it_does(tmp_path: Path) -> None:
    result = search(tmp_path / "a", ReadsSteps, Counted()).run(trials=1, progress=False)
    assert result.front[0].values["parameters"] == WHOLE
    assert isinstance(result.load(0), ReadsSteps)
    with pytest.raises(NotMeasurableError, match=r"'extra\.bias', 'extra\.weight'.*setup\(\).*configure_model\(\)"):
        search(tmp_path / "b", NeedsSteps, Counted()).run(trials=1, progress=False)


def test_a_setup_may_log_and_ask_which_process_it_is_in(tmp_path: Path) -> None:
    result = search(tmp_path / "a", Logs, Counted()).run(trials=1, progress=False)
    assert result.front[0].values["parameters"] == WHOLE + HEAD
    assert result.load(0).share == 8
    result = search(tmp_path / "b", WantsItsLogger, Counted()).run(trials=1, progress=False)
    assert result.front[0].values["parameters"] == WHOLE


def test_a_setup_that_fails_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(NotMeasurableError, match=r"setup\(\) of Fails .*OSError: no such file.*configure_model\(\)"):
        Factory(Fails, Counted()).whole_module({})
    module = Factory(Late, Counted()).whole_module({})
    with pytest.raises(RuntimeError, match="not attached"):
        _ = module.trainer
    assert not module.head.weight.is_meta
    assert torch.equal(module.head.weight, module.head.weight)
