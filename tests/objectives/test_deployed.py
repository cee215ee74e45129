"""Objectives of what is deployed: latency in a runtime, size of a file, a metric of the artefact."""

from __future__ import annotations

import copy
import json
import math
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lightning_primo.errors import DeviceAwayError, InvalidArgumentError, NotDeployableError, StorageError
from lightning_primo.file_lock import FileLock
from lightning_primo.measure.forward_trace import network_key
from lightning_primo.measure.latency import LatencyMeasurement
from lightning_primo.objectives import DeployedMetric, FileSize, Latency
from lightning_primo.objectives.benches import settled_runtime
from lightning_primo.objectives.benches.bench import Bench, LocalBench
from lightning_primo.objectives.benches.remembered_bench import RememberedBench
from lightning_primo.objectives.benches.served_bench import ServedLatencyBench
from lightning_primo.objectives.benches.settled_runtime import SettledRuntime
from lightning_primo.problem.place import Place, place_text, same_place
from lightning_primo.problem.trial import Status
from lightning_primo.runtimes import Eager, FirstOf, OnnxRuntime, Program, Quantised, Runtime
from lightning_primo.serving import ServedDevice
from lightning_primo.training import preflight, run_job
from tests.runtimes.networks import IMAGES, digits_classifier
from tests.tiny import Net
from tests.training.jobs import make_job

OWN = OnnxRuntime()


class Picky(Runtime):
    """PyTorch, for networks that have no layer of odd width."""

    name = "picky"

    def versions(self) -> dict[str, str]:
        return {"picky": "3"}

    def prepare(self, module: nn.Module, inputs: Any, **options: Any) -> Program:
        if any(isinstance(layer, nn.Linear) and layer.out_features % 2 for layer in list(module.modules())[:3]):
            raise NotDeployableError(f"odd layers in {type(module).__name__}")
        return Eager().prepare(module, inputs, **options)


def test_a_latency_in_a_runtime_says_where_it_is_from() -> None:
    latency = Latency("cpu", runtime=OWN, threads=1)
    latency.value = latency.value_for(digits_classifier(), IMAGES)
    assert 0 < latency.value < 0.1
    names = {"latency_cpu", "latency_cpu_spread", "latency_cpu_iqr", "latency_cpu_preparation"}
    assert latency.logs().keys() == names
    assert latency.measured_on["runtime"] == OWN.text()
    assert same_place(latency.measured_on, latency.place())
    assert not same_place(latency.place(), Latency("cpu", threads=1).place())
    assert OWN.text() in place_text(latency.place())
    assert "runtime" not in Latency("cpu").place()


def test_a_fallback_is_settled_by_what_was_measured_first() -> None:
    odd, even, inputs = nn.Linear(2, 3), nn.Linear(2, 4), torch.ones(1, 2)
    latency = Latency("cpu", runtime=FirstOf([Picky(), Eager()]))
    latency.measure_as_on({**latency.place(), "runtime": "picky 3"})
    with pytest.raises(NotDeployableError, match="odd layers in Linear"):
        latency.value_for(odd, inputs)
    latency.value_for(even, inputs)
    assert latency.measured_on["runtime"] == "picky 3"
    other = Latency("cpu", runtime=FirstOf([Picky(), Eager()]))
    other.value_for(odd, inputs)
    assert "runtime" not in other.measured_on
    other.value_for(even, inputs)
    assert "runtime" not in other.measured_on


def test_a_fallback_is_settled_once_for_all_processes(tmp_path: Path) -> None:
    """Two jobs begin before any value is told, with networks that would settle it differently."""
    odd, even, inputs = nn.Linear(2, 3), nn.Linear(2, 4), torch.ones(1, 2)

    def job() -> Latency:
        latency = Latency("cpu", runtime=FirstOf([Picky(), Eager()]), threads=1, max_seconds=0.01)
        latency.remember_in(tmp_path / "latencies")
        return latency

    first, second = job(), job()
    first.value_for(odd, inputs)
    second.value_for(even, inputs)
    assert "runtime" not in first.measured_on
    assert "runtime" not in second.measured_on
    other = Latency("cpu", runtime=FirstOf([Picky(), Eager()]), threads=1, max_seconds=0.01)
    other.remember_in(tmp_path / "other")
    other.value_for(even, inputs)
    assert other.measured_on["runtime"] == "picky 3"
    third = Latency("cpu", runtime=FirstOf([Picky(), Eager()]), threads=1, max_seconds=0.01)
    third.remember_in(tmp_path / "other")
    with pytest.raises(NotDeployableError, match="odd layers"):
        third.value_for(odd, inputs)


def test_who_was_slower_to_settle_a_fallback_measures_anew(tmp_path: Path) -> None:
    """While one measures in its own choice, another one's is written."""
    bench = LocalBench("cpu", FirstOf([Picky(), Eager()]), None, 1, 0.02, 0.01)
    place = bench.place(batch_size=1)
    assert SettledRuntime(tmp_path, bench, place).read() is None

    class Overtaken(Picky):
        def prepare(self, module: nn.Module, inputs: Any, **options: Any) -> Program:
            ours = RememberedBench(overtaken, tmp_path).bench
            settled = SettledRuntime(tmp_path, ours, ours.place(batch_size=1))
            assert settled.settle({}).place(batch_size=1) == Latency("cpu", threads=1).place()
            return super().prepare(module, inputs, **options)

    overtaken = LocalBench("cpu", FirstOf([Overtaken(), Eager()]), None, 1, 0.02, 0.01)
    measured = RememberedBench(overtaken, tmp_path).measure(nn.Linear(2, 4), torch.ones(1, 2), batch_size=1)
    assert measured.runtime == ""
    assert not list(tmp_path.glob("*.json.*"))


def test_a_fallback_that_was_settled_for_a_version_that_is_gone_is_settled_anew(tmp_path: Path) -> None:
    bench = LocalBench("cpu", FirstOf([Picky(), Eager()]), None, 1, 0.02, 0.01)
    settled = SettledRuntime(tmp_path, bench, bench.place(batch_size=1))
    settled.settle({"runtime": "picky 3"})
    (file,) = tmp_path.glob("*.json")
    for text in ('{"runtime": "picky 2"}', ""):
        file.write_text(text)
        assert settled.read() is None
        assert settled.settle({}).place(batch_size=1) == Latency("cpu", threads=1).place()
        assert settled.settle({"runtime": "picky 3"}).place(batch_size=1) == Latency("cpu", threads=1).place()


@pytest.mark.parametrize("before", [None, '{"runtime": "picky 2"}'])
def test_of_many_that_settle_a_fallback_at_once_all_go_by_one(tmp_path: Path, before: str | None) -> None:
    """Half of them have measured in one runtime, half in the other; a decision of before is stale."""
    bench = LocalBench("cpu", FirstOf([Picky(), Eager()]), None, 1, 0.02, 0.01)
    places: list[Place] = [{"runtime": "picky 3"}, {}]
    eager = SettledRuntime(tmp_path, bench, bench.place(batch_size=1))
    for _ in range(20):
        eager.settle({})
        (file,) = tmp_path.glob("*.json")
        file.unlink() if before is None else file.write_text(before)
        gate = threading.Barrier(4)

        def settle(number: int, gate: threading.Barrier = gate) -> Place:
            settled = SettledRuntime(tmp_path, bench, bench.place(batch_size=1))
            assert settled.read() is None
            gate.wait()
            return settled.settle(places[number % 2]).place(batch_size=1)

        with ThreadPoolExecutor(4) as threads:
            first, *others = threads.map(settle, range(4))
        assert others == [first] * 3
        decided = eager.read()
        assert decided is not None
        assert decided.place(batch_size=1) == first


def test_a_lock_that_is_never_given_back_is_told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settled_runtime, "_LOCK_SECONDS", 0.01)
    bench = LocalBench("cpu", FirstOf([Picky(), Eager()]), None, 1, 0.02, 0.01)
    settled = SettledRuntime(tmp_path, bench, bench.place(batch_size=1))
    settled.settle({})
    (file,) = tmp_path.glob("*.lock")
    lock = FileLock(file)
    assert lock.try_acquire()
    with pytest.raises(StorageError, match=r"locked for 0 s.*run the same search again"):
        settled.settle({})
    lock.close()
    settled.settle({})


def test_settings_are_what_they_were_for_pytorch_and_name_another_runtime() -> None:
    plain = {"batch_size": 1, "device": "cpu", "dtype": "torch.bfloat16", "threads": 2}
    assert Latency("cpu", dtype=torch.bfloat16, threads=2).settings() == plain
    assert Latency("cpu", runtime=OWN).settings() == {"batch_size": 1, "device": "cpu", "runtime": OWN.settings()}
    assert FileSize().settings() == {"batch_size": 1, "runtime": OWN.settings()}
    assert json.dumps(DeployedMetric("val_loss", Quantised(OWN)).settings())


def test_arguments() -> None:
    with pytest.raises(InvalidArgumentError, match="'runtime' must be a Runtime such as OnnxRuntime"):
        Latency(runtime="onnx")  # type: ignore[arg-type]
    with pytest.raises(InvalidArgumentError, match=r"'dtype' is for Eager\(\) and Compiled\(\).*HalfPrecision\(Onnx"):
        Latency(runtime=OWN, dtype=torch.float16)
    with pytest.raises(InvalidArgumentError, match="'runtime' must be a DeployableRuntime"):
        FileSize(Eager())  # type: ignore[arg-type]
    with pytest.raises(InvalidArgumentError, match="'runtime' must be a DeployableRuntime"):
        DeployedMetric("val_loss", Eager())  # type: ignore[arg-type]


@pytest.mark.slow
def test_the_size_is_that_of_the_weights_and_the_graph() -> None:
    """Two networks of one structure differ by the bytes of their weights."""
    size = FileSize()
    small, large = (size.value_for(nn.Linear(64, n), torch.ones(1, 64)) for n in (64, 1064))
    assert large - small == pytest.approx(1000 * 65 * 4, rel=0.01)
    assert size.measured_on == {"runtime": OWN.text()}
    assert size.deviation is None
    assert not size.noisy


@pytest.mark.filterwarnings("ignore::DeprecationWarning:onnxscript", "ignore::FutureWarning:onnxscript")
def test_equal_weights_before_training_count_as_after_it() -> None:
    torch.manual_seed(0)
    trained = nn.Sequential(nn.Linear(8, 400), nn.LayerNorm(400), nn.Linear(400, 400), nn.LayerNorm(400))
    fresh = copy.deepcopy(trained)
    for layer in fresh:
        nn.init.zeros_(layer.bias)
    with torch.no_grad():
        for parameter in trained.parameters():
            parameter += torch.rand(parameter.shape)
    first, last = (FileSize().value_for(module, torch.ones(1, 8)) for module in (fresh, trained))
    assert first == pytest.approx(last, abs=200)
    assert not fresh[0].bias.any()


class Counting(Bench[LatencyMeasurement]):
    """Measures nothing, and counts how often."""

    kind = LatencyMeasurement

    def __init__(self, deviation: float = 0.1, glances: float | None = None) -> None:
        self.measured = 0
        self.deviation = deviation
        self.glances = glances
        self.asked = "fake"  # the device that answers before it measures

    def measure(self, module: nn.Module, inputs: Any, *, batch_size: int | None) -> LatencyMeasurement:
        self.measured += 1
        return self.of(float(self.measured))

    def of(self, median: float, hardware: str = "fake") -> LatencyMeasurement:
        return LatencyMeasurement(
            median=median,
            iqr=0.0,
            deviation=self.deviation,
            runs=1,
            device="cpu",
            hardware=hardware,
            batch_size=1,
            dtype="float32",
            threads=1,
        )

    def place(self, *, batch_size: int | None) -> Place:
        return self.of(1.0, self.asked).measured_on

    def as_on(self, place: Place) -> Bench[LatencyMeasurement]:
        return self

    def glance(self, module: nn.Module, inputs: Any, *, batch_size: int | None) -> LatencyMeasurement | None:
        return None if self.glances is None else self.of(self.glances)


def test_a_network_is_measured_once(tmp_path: Path) -> None:
    own = Counting()
    bench = RememberedBench(own, tmp_path / "latencies")
    first = bench.measure(digits_classifier(0, lr=1e-3), IMAGES, batch_size=1)
    again = bench.measure(digits_classifier(1, lr=1e-1), IMAGES, batch_size=1)
    assert own.measured == 1
    assert (first.reused, again.reused) == (False, True)
    assert again.median == first.median
    bench.measure(digits_classifier(0, n_filters=9), IMAGES, batch_size=1)
    bench.measure(digits_classifier(0), IMAGES, batch_size=2)
    assert own.measured == 3
    for path in (tmp_path / "latencies").iterdir():
        path.write_text('{"median":')  # a disk that broke
    assert not bench.measure(digits_classifier(0), IMAGES, batch_size=1).reused


def test_what_is_unsteady_is_not_kept_and_what_is_not_confirmed_is_measured_anew(tmp_path: Path) -> None:
    unsteady = RememberedBench(Counting(deviation=10.0), tmp_path)
    unsteady.measure(digits_classifier(), IMAGES, batch_size=1)
    assert not list(tmp_path.iterdir())
    steady = Counting(glances=1.1)
    bench = RememberedBench(steady, tmp_path)
    assert [bench.measure(digits_classifier(), IMAGES, batch_size=1).reused for _ in range(2)] == [False, True]
    steady.glances = 1.25
    again = bench.measure(digits_classifier(), IMAGES, batch_size=1)
    assert again.reused
    assert again.deviation == pytest.approx(math.hypot(0.1, 0.25))
    steady.glances = 1.45
    assert not bench.measure(digits_classifier(), IMAGES, batch_size=1).reused


def test_where_both_are_exact_a_tenth_is_confirmed_at_most(tmp_path: Path) -> None:
    exact = Counting(deviation=1e-3, glances=1.09)
    bench = RememberedBench(exact, tmp_path)
    assert [bench.measure(digits_classifier(), IMAGES, batch_size=1).reused for _ in range(2)] == [False, True]
    exact.glances = 1.2
    assert not bench.measure(digits_classifier(), IMAGES, batch_size=1).reused


def test_what_another_device_answers_is_not_kept(tmp_path: Path) -> None:
    moved = Counting()
    bench = RememberedBench(moved, tmp_path)
    moved.asked = "another"  # and the one at the same address when it is measured is "fake"
    bench.measure(digits_classifier(), IMAGES, batch_size=1)
    assert not list(tmp_path.iterdir())
    moved.asked = "fake"
    bench.measure(digits_classifier(), IMAGES, batch_size=1)
    (file,) = tmp_path.iterdir()
    file.write_text(file.read_text().replace('"fake"', '"another"'))
    assert not bench.measure(digits_classifier(), IMAGES, batch_size=1).reused


def test_a_device_has_providers_that_are_not_here(tmp_path: Path) -> None:
    there = OnnxRuntime(providers=["QNNExecutionProvider"])
    bench = ServedLatencyBench(ServedDevice("http://127.0.0.1:1", "a-token-for-tests", patience=0.0), "cpu", there)
    with pytest.raises(DeviceAwayError):  # it was exported and checked
        bench.measure(nn.Linear(3, 2), torch.ones(1, 3), batch_size=1)
    assert there.providers == ["QNNExecutionProvider"]


class Slept(nn.Module):
    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.seconds = seconds

    def forward(self, x: Tensor) -> Tensor:
        time.sleep(self.seconds)
        return x + 1


def test_what_python_does_beside_the_operators_is_no_reason_to_share(tmp_path: Path) -> None:
    latency = Latency("cpu")
    latency.remember_in(tmp_path)
    assert network_key(Slept(0.001), torch.ones(1, 2)) == network_key(Slept(0.01), torch.ones(1, 2))
    quick = latency.value_for(Slept(0.001), torch.ones(1, 2))
    slow = latency.value_for(Slept(0.01), torch.ones(1, 2))
    assert slow > 3 * quick
    assert "latency_cpu_reused" not in latency.logs()


def _pruned(module: nn.Module) -> nn.Module:
    with torch.no_grad():
        next(module.parameters())[0] = 0
    return module


def _subnormal(module: nn.Module) -> nn.Module:
    with torch.no_grad():
        next(module.parameters())[0] = 1e-41
    return module


def _doubled(module: nn.Module) -> nn.Module:
    return nn.Sequential(module, module)


@pytest.mark.parametrize("change", [_pruned, _subnormal, _doubled, nn.Module.double, nn.Sequential])
def test_networks_that_compute_otherwise_are_told_apart(change: Any) -> None:
    inputs = torch.ones(1, 4)
    known = network_key(nn.Linear(4, 4), inputs)
    assert known == network_key(nn.Linear(4, 4), 2 * inputs)
    module = change(nn.Linear(4, 4))
    assert network_key(module, inputs.to(next(module.parameters()).dtype)) not in (known, None)
    assert network_key(nn.Linear(4, 4), torch.ones(2, 4)) != known


def test_a_scalar_in_the_forward_tells_networks_apart() -> None:
    assert network_key(nn.LeakyReLU(0.1), torch.ones(1)) != network_key(nn.LeakyReLU(0.2), torch.ones(1))
    assert network_key(nn.Linear(3, 4), torch.ones(1, 4)) is None


def test_weights_of_a_type_that_cannot_be_compared_are_not_shared_and_whole_numbers_are() -> None:
    def with_buffer(values: Tensor) -> nn.Module:
        module = nn.Linear(4, 4)
        module.register_buffer("codes", values)
        return module

    inputs = torch.ones(1, 4)
    assert network_key(with_buffer(torch.ones(4).to(torch.float8_e4m3fn)), inputs) is None
    zeros, ones, scalar = (
        network_key(with_buffer(v), inputs) for v in (torch.arange(4), -torch.arange(4), torch.tensor(3))
    )
    assert None not in (zeros, ones, scalar)
    assert zeros != ones
    assert zeros == network_key(with_buffer(torch.arange(4)), inputs)


def test_a_trial_that_cannot_be_deployed_fails_and_no_search_begins_where_none_can(tmp_path: Path) -> None:
    def job(width: int) -> Any:
        objectives = (Latency("cpu", runtime=Picky()),)
        return make_job(tmp_path, 1, module=Net, config={"width": width}, objectives=objectives)

    evaluation = run_job(job(3))
    assert evaluation.status is Status.ERROR
    assert evaluation.reason.startswith("NotDeployableError: odd layers in Net")
    reported: list[BaseException] = []
    assert preflight(job(3), others=[{"width": 5}, {"width": 4}], report=reported.append) is None
    assert isinstance(reported[0], NotDeployableError)
    with pytest.raises(NotDeployableError, match="odd layers in Net"):
        preflight(job(3), others=[{"width": 5}])
