"""The latencies of a front, measured in turn."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from lightning_primo import Latency, Metric, RandomSearch, Result, Search, read_result
from lightning_primo.errors import DeviceMismatchError, InvalidArgumentError, PrimoError, UnknownNameError
from lightning_primo.measure import LatencyMeasurement
from lightning_primo.objectives.benches.bench import Bench, LocalBench
from lightning_primo.problem.objective import Kind, Objective
from lightning_primo.problem.place import Place
from lightning_primo.results.once_more.latency_order import LatencyOrder
from lightning_primo.results.trial_result import TrialResult
from lightning_primo.runtimes import Compiled, Eager, OnnxRuntime
from lightning_primo.timing import RoundRobin
from tests.machine import Machine
from tests.search.resume_script import Net, build, make_search


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    made = Machine.installed(monkeypatch)
    made.latency = lambda module: 1e-5 / module.net[0].out_features  # type: ignore[method-assign]
    return made


def called(config: dict[str, Any]) -> Net:
    module = build(config)
    module.example_input_array = torch.zeros(2, 3)
    return module


def search(directory: Path, **changes: Any) -> Search:
    arguments = {"objectives": [Metric("val_loss"), Latency("cpu")], "algorithm": RandomSearch(), "epochs": (1, 1)}
    return make_search(directory, **{"module": called, "remeasure": 0, **arguments, **changes})


def run(directory: Path, **changes: Any) -> Result:
    return search(directory, **changes).run(trials=4, progress=False, report=False)


def in_turn(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What is measured in turn from here on; each network takes as long as it is wide."""
    seen: list[dict[str, Any]] = []

    def measured(runtime: Any, cases: Any, **options: Any) -> RoundRobin:
        seen.append({"runtime": runtime, "cases": list(cases), **options})
        widths = [float(module.net[0].out_features) for module, _ in cases]
        rng = np.random.default_rng(0)
        return RoundRobin(np.array(widths) * 1e-5 * np.exp(0.01 * rng.normal(size=(40, len(widths)))))

    monkeypatch.setattr("lightning_primo.objectives.benches.bench.latencies_in_turn", measured)
    return seen


def test_the_front_is_measured_in_turn(
    tmp_path: Path, machine: Machine, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    result = run(tmp_path)
    seen = in_turn(monkeypatch)
    files = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    order = result.remeasure(seconds=0.3)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == files  # nothing is kept
    assert f"measuring latency_cpu of {len(result.front)} trials in turn" in capsys.readouterr().err
    (options,) = seen
    assert (options["seconds"], options["batch_size"], options["device"]) == (0.3, 1, "cpu")
    assert options["threads"] == int(result.front[0].measured_on["latency_cpu"]["threads"])
    assert [module.net[0].out_features for module, _ in options["cases"]] == [
        trial.config["width"] for trial in result.front
    ]
    assert [trial.id for trial in order.trials] == [
        trial.id for trial in sorted(result.front, key=lambda trial: (trial.config["width"], trial.id))
    ]
    table = order.to_pandas()
    assert table["id"].tolist() == [trial.id for trial in order.trials]
    assert table["ratio"].tolist()[0] == 1
    assert table["latency_cpu_searched"].tolist() == [trial.values["latency_cpu"] for trial in order.trials]
    result.remeasure("latency_cpu", progress=False)
    assert capsys.readouterr().err == ""


def order_of(seconds: Any) -> LatencyOrder:
    objective = Objective(name="latency_cpu", kind=Kind.MEASURED)
    array = np.array(seconds)
    trials = [TrialResult(id=10 + n, config={}, values={"latency_cpu": 1e-3}) for n in range(array.shape[1])]
    return LatencyOrder(objective, trials, RoundRobin(array))


def test_what_is_not_told_apart_is_said() -> None:
    rng = np.random.default_rng(0)
    common = np.exp(0.3 * rng.normal(size=(100, 1)))
    own = np.exp(0.02 * rng.normal(size=(100, 3)))
    order = order_of(common * own * np.array([2.0e-3, 1.0e-3, 1.0002e-3]))
    assert {trial.id for trial in order.trials[:2]} == {11, 12}
    assert order.trials[2].id == 10
    ((one, other),) = order.undecided
    assert {one.id, other.id} == {11, 12}
    assert (order.like(11), order.like(12), order.like(10)) == ((12,), (11,), ())
    assert order.ratio(10, 11).distinct
    assert order.ratio(10, 11).low < 2.0 < order.ratio(10, 11).high
    assert order.deviation(10) > 0.01 * order.latency(10)
    text = repr(order)
    assert text.startswith("latency_cpu, measured in turn\ntrial 1")
    assert f"not told apart: {one.id} and {other.id}" in text
    assert "(the search: 1 ms)" in text
    assert "all are told apart" in repr(order_of(np.array([[1.0, 2.0]] * 10)))
    assert order.to_pandas()["undecided"].tolist()[-1] == ()
    with pytest.raises(KeyError):
        order.latency(0)


def test_another_machine_is_refused(tmp_path: Path, machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    result = run(tmp_path)
    seen = in_turn(monkeypatch)
    machine.name = "Chip 10"
    with pytest.raises(DeviceMismatchError, match=r"\[Chip 9, .*\[Chip 10, "):
        result.remeasure()
    assert not seen


def test_what_cannot_be_measured_in_turn(tmp_path: Path, machine: Machine) -> None:
    result = run(tmp_path / "one")
    for seconds in (0, -1.0, float("inf")):
        with pytest.raises(InvalidArgumentError, match="'seconds' must be a positive number"):
            result.remeasure(seconds=seconds)
    with pytest.raises(UnknownNameError, match="latency_gpu"):
        result.remeasure("latency_gpu")
    with pytest.raises(PrimoError, match=r"without the search that measures its trials; take Search\(...\)"):
        read_result(tmp_path / "one").remeasure()
    two = [Metric("val_loss"), Latency("cpu"), Latency("cpu", batch_size=2, name="latency_of_two")]
    with pytest.raises(InvalidArgumentError, match="several latencies; name one of latency_cpu, latency_of_two"):
        run(tmp_path / "two", objectives=two).remeasure()
    none = run(tmp_path / "none", objectives=[Metric("val_loss")])
    with pytest.raises(InvalidArgumentError, match="no objective of the search is a Latency"):
        none.remeasure()
    empty = Result(none.problem, [], directory=tmp_path / "empty", build=None, timer=none._timer)
    with pytest.raises(PrimoError, match=r"there is nothing to measure: .*larger budget"):
        empty.remeasure()


class Whole(Bench[LatencyMeasurement]):
    """Measures networks of so many seconds; from the sixth measurement on elsewhere, if it moves."""

    kind = LatencyMeasurement

    def __init__(self, *, moves: bool = False) -> None:
        self.moves = moves
        self.seen: list[float] = []

    def measure(self, module: nn.Module, inputs: Any, *, batch_size: int | None) -> LatencyMeasurement:
        self.seen.append(inputs)
        hardware = "pi" if self.moves and len(self.seen) > 5 else "jetson"
        return LatencyMeasurement(
            median=inputs * (1 + 0.001 * len(self.seen)),
            iqr=0.1,
            deviation=0.1,
            runs=9,
            device="cpu",
            hardware=hardware,
            batch_size=batch_size,
            dtype="float32",
            threads=1,
        )

    def place(self, *, batch_size: int | None) -> Place:
        return {}

    def as_on(self, place: Place) -> Bench[LatencyMeasurement]:
        return self


CASES: list[tuple[nn.Module, Any]] = [(nn.Identity(), 1.0), (nn.Identity(), 2.0), (nn.Identity(), 4.0)]


def test_elsewhere_whole_measurements_take_turns() -> None:
    bench = Whole()
    found = bench.measure_in_turn(CASES, batch_size=1, seconds=1.0)
    assert found.seconds.shape == (10, 3)
    assert bench.seen[:9] == [1.0, 2.0, 4.0, 2.0, 4.0, 1.0, 4.0, 1.0, 2.0]
    assert found.order == (0, 1, 2)
    assert found.undecided == ()
    with pytest.raises(DeviceMismatchError, match=r"\[jetson, .*\[pi, .*measure again"):
        Whole(moves=True).measure_in_turn(CASES, batch_size=1, seconds=1.0)


def test_runtimes_measure_in_turn() -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 4)
    small, large = nn.Linear(4, 4), nn.Sequential(nn.Linear(4, 800), nn.ReLU(), nn.Linear(800, 800))
    weights = [parameter.clone() for parameter in large.parameters()]
    for runtime in (Eager(), OnnxRuntime()):
        bench = LocalBench("cpu", runtime, None, 1)
        found = bench.measure_in_turn([(large, x), (small, x)], batch_size=1, seconds=0.05)
        assert found.order == (1, 0)
        assert found.undecided == ()
    assert all(torch.equal(one, other) for one, other in zip(weights, large.parameters(), strict=True))
    assert large.training


def test_compiled_programs_are_measured_as_a_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []

    def measured(runtime: Any, module: Any, inputs: Any, **options: Any) -> LatencyMeasurement:
        seen.append(inputs)
        return Whole().measure(module, inputs, batch_size=1)

    monkeypatch.setattr("lightning_primo.objectives.benches.bench.runtime_latency", measured)
    found = LocalBench("cpu", Compiled()).measure_in_turn(CASES, batch_size=1, seconds=1.0)
    assert (len(seen), found.order) == (30, (0, 1, 2))


@pytest.mark.parametrize(
    "latency",
    [
        Latency("cpu"),
        Latency("cpu", batch_size=None, threads=3, runtime=OnnxRuntime(), name="mine"),
        Latency("cpu", dtype=torch.bfloat16),
    ],
)
def test_a_latency_is_made_of_what_the_log_says(latency: Latency) -> None:
    settings = json.loads(json.dumps(latency.settings()))
    made = Latency.described(latency.objective.name, settings)
    assert made.settings() == latency.settings()
    assert (made.objective.name, made.bench) == (latency.objective.name, latency.bench)


def test_a_served_latency_cannot_be_made_of_what_the_log_says() -> None:
    served = Latency("cpu", on="http://127.0.0.1:9")
    with pytest.raises(InvalidArgumentError, match=r"its address is not kept; measure from Python"):
        Latency.described("latency_cpu", served.settings())
