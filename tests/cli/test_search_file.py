from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from ConfigSpace import ConfigurationSpace, Float
from torchmetrics.classification import MulticlassAccuracy

from lightning_primo import Metric, RandomSearch, Search
from lightning_primo.cli.search_file import read_algorithm, read_objectives
from lightning_primo.cli.space_file import SearchSpace
from lightning_primo.errors import InvalidArgumentError, StoreError
from lightning_primo.objectives import TorchMetric
from lightning_primo.problem.past import PastSearch
from tests.tiny import Data, Net

ENTRY = """
class_path: TorchMetric
init_args:
  metric: {class_path: torchmetrics.classification.MulticlassAccuracy, init_args: {num_classes: 10, average: micro}}
  name: val_acc
"""


@pytest.mark.usefixtures("_quiet")
def test_a_torchmetrics_metric() -> None:
    (objective,) = read_objectives([yaml.safe_load(ENTRY)])
    assert isinstance(objective, TorchMetric)
    assert (objective.objective.name, objective.objective.mode) == ("val_acc", "max")
    assert objective.definition == TorchMetric(MulticlassAccuracy(num_classes=10, average="micro")).definition


def test_an_argument_that_the_metric_does_not_take_is_refused() -> None:
    with pytest.raises(InvalidArgumentError, match=r"'objectives' has 'TorchMetric'.*nclasses"):
        read_objectives([yaml.safe_load(ENTRY.replace("num_classes", "nclasses"))])


@pytest.mark.usefixtures("_quiet")
def test_earlier_searches_are_directories(tmp_path: Path) -> None:
    space = ConfigurationSpace(seed=0)
    space.add(Float("lr", (1e-3, 1e-1)))
    result = Search(
        space,
        module=Net,
        datamodule=Data(),
        objectives=[Metric("val_loss")],
        algorithm=RandomSearch(),
        epochs=(1, 1),
        directory=tmp_path / "earlier",
        trainer={"accelerator": "cpu"},
    ).run(trials=2, progress=False)
    searched = SearchSpace(space, frozenset(), {})
    folder = str(tmp_path / "earlier")
    algorithm = read_algorithm({"class_path": "PriMO", "init_args": {"n_init": 3, "learn_from": [folder]}}, searched)
    assert algorithm is not None
    assert (algorithm.n_init, algorithm.learn_from) == (3, (PastSearch.of(result),))  # type: ignore[attr-defined]
    with pytest.raises(InvalidArgumentError, match=r"'learn_from' must be a list of the directories"):
        read_algorithm({"class_path": "PriMO", "init_args": {"learn_from": folder}}, searched)
    with pytest.raises(InvalidArgumentError, match=r"'RandomSearch', which does not learn"):
        read_algorithm({"class_path": "RandomSearch", "init_args": {"learn_from": [folder]}}, searched)
    with pytest.raises(StoreError, match="elsewhere"):
        read_algorithm({"class_path": "MSEHVI", "learn_from": [str(tmp_path / "elsewhere")]}, searched)
