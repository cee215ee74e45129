from __future__ import annotations

from pathlib import Path
from typing import Any

import cloudpickle
import lightning.pytorch as pl
import pytest
import torch
from torch import Tensor, nn

from lightning_primo import Energy, Metric, RandomSearch, Result
from lightning_primo.errors import InvalidArgumentError, NoEnergyMeterError
from lightning_primo.objectives import energy
from lightning_primo.problem.objective import Kind
from tests.search.resume_script import Net, build, make_search

JOULES = 0.25  # of each call


class Calls:
    """A meter that counts calls of `Net`."""

    name = "a board"
    made = 0

    def joules(self) -> float:
        return JOULES * Calls.made


class Counted(Net):
    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            Calls.made += 1
        result: Tensor = super().forward(x)
        return result


def counted(config: dict[str, Any]) -> nn.Module:
    module = build(config)
    module.__class__ = Counted
    module.example_input_array = torch.zeros(2, 3)
    return module


def run(directory: Path, *objectives: Any, trials: int = 2) -> Result:
    search = make_search(
        directory, module=counted, objectives=list(objectives), algorithm=RandomSearch(), epochs=(1, 1)
    )
    return search.run(trials=trials, progress=False)


def test_it_is_measured_before_a_trial_is_trained(tmp_path: Path) -> None:
    result = run(tmp_path, Metric("val_loss"), Energy("cpu", meter=Calls(), seconds=0.01))
    table = result.to_pandas()
    assert table["energy_cpu"].tolist() == pytest.approx([JOULES] * len(table))
    assert all("a board" in place for place in table["energy_cpu_measured_on"])


def test_without_a_meter_a_search_says_so_before_it_trains(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(device: torch.device) -> Any:
        raise NoEnergyMeterError("no meter here; take another machine")

    monkeypatch.setattr("lightning_primo.measure.energy.meter_for", none)
    monkeypatch.setattr(energy, "meter_for", none)
    with pytest.raises(NoEnergyMeterError, match="no meter here"):
        run(tmp_path, Metric("val_loss"), Energy("cpu"))


def test_what_it_is_called_and_what_is_logged() -> None:
    objective = Energy("cuda", at_most=1.0)
    assert (objective.objective.name, objective.objective.kind) == ("energy_cuda", Kind.MEASURED)
    assert Energy().objective.name == "energy"
    assert objective.noisy
    assert objective.deviation is None
    measured = Energy("cpu", meter=Calls(), seconds=0.01)
    measured.value = measured.value_for(counted({"lr": 0.1, "width": 4, "regularised": False}), torch.zeros(2, 3))
    assert set(measured.logs()) == {"energy_cpu", "energy_cpu_spread"}
    assert measured.place()["meter"] == measured.measured_on["meter"] == "a board"
    measured.measure_as_on({"threads": "3"})
    assert measured.threads == 3
    assert cloudpickle.loads(cloudpickle.dumps(measured)).meter.name == "a board"
    assert isinstance(measured, pl.Callback)


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"seconds": 0}, "seconds"),
        ({"seconds": "long"}, "seconds"),
        ({"meter": 3}, "meter"),
        ({"batch_size": 0}, "batch_size"),
        ({"threads": 0}, "threads"),
        ({"dtype": torch.int8}, "dtype"),
    ],
)
def test_arguments_out_of_range(options: dict[str, Any], name: str) -> None:
    with pytest.raises(InvalidArgumentError, match=f"'{name}'"):
        Energy("cpu", **options)
