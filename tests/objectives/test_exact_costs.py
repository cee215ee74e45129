from __future__ import annotations

import math
import random
from typing import Any

import numpy as np
import pytest
import torch

from lightning_primo.errors import SlowMeasurementWarning
from lightning_primo.factory import Factory
from lightning_primo.objectives import FLOPs, ParameterCount
from lightning_primo.objectives import exact_costs as exact
from lightning_primo.objectives.exact_costs import ExactCosts
from lightning_primo.problem.trial import configuration_key
from tests.tiny import Data, Net

COUNT = 2 * 4 + 4 + 2 * 4 + 4 + 1


class Recording:
    """Builds nets, and notes on which device."""

    def __init__(self, make: Any = Net) -> None:
        self.make = make
        self.devices: list[str] = []

    def __call__(self, config: Any) -> Any:
        net = self.make(**config)
        self.devices.append(next(net.parameters()).device.type)
        return net


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exact, "_warned", False)


def test_measured_on_meta_once_per_configuration() -> None:
    build = Recording()
    costs = ExactCosts(Factory(build, Data()), [ParameterCount(), FLOPs()])
    assert costs({"lr": 0.1, "width": 4}) == {"parameters": COUNT, "flops": 2 * 4 + 4}
    assert costs({"width": 4, "lr": 0.1})["parameters"] == COUNT
    assert costs({"width": 8})["flops"] == 2 * 8 + 8
    assert build.devices == ["meta", "meta"]


def test_what_it_returns_may_be_changed() -> None:
    costs = ExactCosts(Factory(Net), [ParameterCount()])
    costs({})["parameters"] = 0.0
    assert costs({}) == {"parameters": COUNT}


def test_the_generators_are_left_alone() -> None:
    class Drawing(Net):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            np.random.seed(0)  # noqa: NPY002
            random.seed(0)

    before = torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate()  # type: ignore[index]  # noqa: NPY002
    ExactCosts(Factory(Drawing, Data()), [FLOPs()])({})
    assert torch.equal(before[0], torch.get_rng_state())
    assert before[1:] == (np.random.get_state()[1].tolist(), random.getstate())  # type: ignore[index]  # noqa: NPY002


def test_the_modules_own_example_is_preferred() -> None:
    class Exemplary(Net):
        def __init__(self) -> None:
            super().__init__()
            self.example_input_array = torch.zeros(3, 2)

    assert ExactCosts(Factory(Exemplary), [FLOPs()])({}) == {"flops": 12.0}


def test_a_module_that_looks_at_values_is_built_on_the_cpu_with_one_warning() -> None:
    class Looking(Net):
        def __init__(self, width: int = 4) -> None:
            super().__init__(width=width)
            self.rate = torch.linspace(0, 1, 2)[1].item()

    build = Recording(Looking)
    costs = ExactCosts(Factory(build, Data()), [ParameterCount(), FLOPs()])
    with pytest.warns(SlowMeasurementWarning, match="meta device"):
        assert costs({}) == {"parameters": COUNT, "flops": 12.0}
    assert costs({"width": 8})["flops"] == 24.0  # any warning would be an error here
    assert build.devices == ["cpu", "cpu"]


def test_layers_made_in_configure_model_count() -> None:
    class Late(Net):
        def configure_model(self) -> None:
            self.more = torch.nn.Linear(10, 1)

    assert ExactCosts(Factory(Late), [ParameterCount()])({}) == {"parameters": COUNT + 11}


def test_what_cannot_be_measured_is_nan_and_hides_nothing_else() -> None:
    class Broken(Net):
        def forward(self, x: Any) -> Any:
            raise TypeError

    values = ExactCosts(Factory(Broken, Data()), [ParameterCount(), FLOPs()])({})
    assert values["parameters"] == COUNT
    assert math.isnan(values["flops"])
    assert math.isnan(ExactCosts(Factory(lambda config: Net(**config)), [ParameterCount()])({"no": 1})["parameters"])


def test_the_key_of_a_configuration() -> None:
    assert configuration_key({"b": 1, "a": True}) == configuration_key({"a": True, "b": 1})
    assert len({configuration_key({"a": value}) for value in (1, 1.5, "1", True)}) == 4


def test_pretrained_weights_are_not_missed_where_only_the_structure_is_wanted() -> None:
    class Pretrained(Net):
        def __init__(self) -> None:
            super().__init__()
            with torch.device("cpu"):
                weights = Net().state_dict()
            self.load_state_dict(weights)  # on the device meta PyTorch warns of each, which is an error here

    assert ExactCosts(Factory(Pretrained), [ParameterCount()])({}) == {"parameters": COUNT}
