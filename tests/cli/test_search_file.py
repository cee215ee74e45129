from __future__ import annotations

import pytest
import yaml
from torchmetrics.classification import MulticlassAccuracy

from lightning_primo.cli.search_file import read_objectives
from lightning_primo.errors import InvalidArgumentError
from lightning_primo.objectives import TorchMetric

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
