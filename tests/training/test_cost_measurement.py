"""Measured values of a job: how much they scatter, where they come from, and what is not let in."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from lightning_primo.errors import DeviceMismatchError
from lightning_primo.objectives import CostCallback, Latency, Metric, ParameterCount, PeakMemory
from lightning_primo.problem.trial import Status
from lightning_primo.training import Job, crashed, preflight, run_job
from lightning_primo.training.checkpoint.record import read_record
from lightning_primo.training.cost_measurement import measure_again
from tests.machine import Machine
from tests.tiny import Net
from tests.training.jobs import make_job


class Called(Net):
    """Has what it is measured on."""

    def __init__(self, lr: float = 0.02, behaviour: str = "") -> None:
        super().__init__(lr, 4, behaviour)
        self.example_input_array = torch.zeros(2, 2)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine.installed(monkeypatch)


def job(directory: Path, epoch: int = 2, **fields: Any) -> Job:
    objectives = (Metric("val_loss"), Latency("cpu"))
    return make_job(directory, epoch, module=Called, **{"objectives": objectives, **fields})


PLACE = {"hardware": "Chip 9", "device": "cpu", "threads": "1", "batch_size": "1", "dtype": "float32"}


def test_an_evaluation_says_how_far_a_value_scatters_and_where_it_comes_from(tmp_path: Path, machine: Machine) -> None:
    constraints = (Latency("cpu", batch_size=8, threads=3, at_most=1.0, name="throughput"), PeakMemory("cpu"))
    evaluation = run_job(job(tmp_path, constraints=constraints))
    assert evaluation.losses[1] == 1e-3
    assert evaluation.deviations == {"latency_cpu": 1e-5, "throughput": 1e-5}
    here = {**PLACE, "threads": str(torch.get_num_threads())}
    assert evaluation.measured_on == {
        "latency_cpu": here,
        "throughput": {**here, "batch_size": "8", "threads": "3"},
        "memory_cpu": {"device": "cpu", "batch_size": "1", "dtype": "float32"},  # the same on every machine
    }
    assert not any(name.endswith("_spread") for name in evaluation.measurements)
    assert evaluation.measurements["latency_cpu_iqr"] == 1e-4


def test_a_promoted_trial_keeps_its_measurement_and_a_crashed_one_too(tmp_path: Path, machine: Machine) -> None:
    machine.latencies = [1e-3, 2e-3]
    first = run_job(job(tmp_path))
    promoted = run_job(job(tmp_path, 4, start_epoch=2, measured_on=first.measured_on))
    lost = crashed(job(tmp_path, 5, start_epoch=4), "killed")
    for evaluation in (promoted, lost):
        assert (evaluation.losses[1], evaluation.deviations) == (1e-3, {"latency_cpu": 1e-5})
        assert evaluation.measured_on == first.measured_on


def test_on_another_device_nothing_is_trained(tmp_path: Path, machine: Machine) -> None:
    machine.name = "Chip 10"
    with pytest.raises(DeviceMismatchError) as caught:
        run_job(job(tmp_path, measured_on={"latency_cpu": PLACE}))
    assert machine.threads == []
    first = str(caught.value).splitlines()[0]
    for part in ("'latency_cpu'", "[Chip 9, cpu, threads 1,", "[Chip 10, cpu, threads 1,", "new 'directory'"):
        assert part in first
    assert read_record(tmp_path) is None


def test_what_another_device_had_measured_before_is_measured_again(tmp_path: Path, machine: Machine) -> None:
    machine.name, machine.latencies = "Chip 10", [1e-3, 2e-3, 3e-3]
    expected = {"latency_cpu": PLACE}
    run_job(job(tmp_path))
    machine.name = "Chip 9"
    there = run_job(job(tmp_path, measured_on=expected))  # nothing to train
    assert there.losses[1] == 2e-3
    assert there.measured_on["latency_cpu"]["hardware"] == "Chip 9"
    assert {losses[1] for losses in there.curve.values()} == {2e-3}
    further = run_job(job(tmp_path, 4, start_epoch=2, measured_on=expected))
    assert {losses[1] for losses in further.curve.values()} == {3e-3}
    record = read_record(tmp_path)
    assert record is not None
    assert record.costs["latency_cpu"] == 3e-3
    assert record.measured_on["latency_cpu"]["hardware"] == "Chip 9"
    assert {values["latency_cpu"] for values in record.curve.values()} == {3e-3}


def test_the_threads_of_the_first_measurement_are_kept(tmp_path: Path, machine: Machine) -> None:
    known = {"latency_cpu": {**PLACE, "threads": "7"}}
    evaluation = run_job(job(tmp_path, measured_on=known))
    assert evaluation.status is Status.OK
    assert evaluation.measured_on["latency_cpu"]["threads"] == "7"
    assert machine.threads == [7]
    fixed = job(tmp_path / "b", objectives=(Metric("val_loss"), Latency("cpu", threads=2)), measured_on=known)
    with pytest.raises(DeviceMismatchError, match="threads 2"):
        run_job(fixed)


def frozen(config: Any) -> Called:
    net = Called(**config)
    return net.requires_grad_(False)


@pytest.mark.parametrize("known", [{}, {"parameters": 0.0}], ids=["measured", "exact"])
def test_a_cost_without_a_logarithm_fails_the_trial_before_it_is_trained(
    tmp_path: Path, known: dict[str, float]
) -> None:
    objectives = (Metric("val_loss"), ParameterCount())
    evaluation = run_job(make_job(tmp_path, module=frozen, objectives=objectives, known=known))
    assert (evaluation.status, evaluation.cost) == (Status.ERROR, 0)
    first = evaluation.reason.splitlines()[0]
    assert "NonPositiveValueError: the objective 'parameters' is 0, but 'log' is set" in first
    assert "ParameterCount(log=False)" in first


def test_a_measured_cost_without_a_logarithm_fails_the_trial_too(tmp_path: Path, machine: Machine) -> None:
    machine.latencies = [0.0]
    evaluation = run_job(job(tmp_path))
    assert evaluation.status is Status.ERROR
    assert "'latency_cpu' is 0, but 'log' is set" in evaluation.reason


def test_zero_is_a_value_on_a_linear_scale_and_within_a_bound(tmp_path: Path) -> None:
    loss, count = Metric("val_loss"), ParameterCount(log=False)
    constraints = (ParameterCount(at_most=9, name="bounded"),)

    evaluation = run_job(
        make_job(
            tmp_path,
            module=Called,
            objectives=(loss, count),
            constraints=constraints,
            known={"parameters": 0.0, "bounded": 0.0},
        )
    )
    assert evaluation.status is Status.OK, evaluation.reason
    assert evaluation.losses[1] == 0
    assert count.objective.scaled([0.0, 5.0]).tolist() == [0.0, 5.0]


def test_preflight_measures_as_well(tmp_path: Path, machine: Machine) -> None:
    assert "val_loss" in (preflight(job(tmp_path)) or ())


def test_what_is_noisy_is_measured_again_without_a_trace(tmp_path: Path, machine: Machine) -> None:
    machine.latencies = [2e-3, 3e-3]
    several = job(
        tmp_path,
        objectives=(Metric("val_loss"), Latency("cpu"), PeakMemory("cpu")),
        constraints=(Latency("cpu", name="bounded", at_most=1.0),),
    )
    state = torch.get_rng_state()
    assert [measure_again(several), measure_again(several)] == [{"latency_cpu": 2e-3}, {"latency_cpu": 3e-3}]
    assert torch.equal(torch.get_rng_state(), state)
    assert not any(tmp_path.iterdir())
    with pytest.raises(DeviceMismatchError, match="Chip 10"):
        measure_again(replace(several, measured_on={"latency_cpu": {**PLACE, "hardware": "Chip 10"}}))


class Refusing(Called):
    def forward(self, x: Tensor) -> Tensor:
        raise ValueError("not today\nnor tomorrow")


def test_why_it_can_not_be_measured_again_fits_on_a_line(tmp_path: Path) -> None:
    outcome = measure_again(make_job(tmp_path, module=Refusing, objectives=(Latency("cpu"),)))
    assert isinstance(outcome, str)
    assert outcome.startswith("NotMeasurableError: calling Refusing")
    assert "\n" not in outcome


def test_a_cost_of_ones_own_needs_none_of_this(tmp_path: Path) -> None:
    class Energy(CostCallback):
        def measure(self, module: torch.nn.Module, inputs: Any) -> float:
            return 3.0

    evaluation = run_job(job(tmp_path, objectives=(Metric("val_loss"), Energy(Latency("cpu").objective))))
    assert (evaluation.losses[1], evaluation.deviations, evaluation.measured_on) == (3.0, {}, {})
