"""The memory of what is deployed: of a process that loads an artefact."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from lightning_primo.errors import (
    InvalidArgumentError,
    MeasurementFailedError,
    NotDeployableError,
    RuntimeMissingError,
)
from lightning_primo.objectives import FileSize, PeakMemory
from lightning_primo.problem.place import same_place
from lightning_primo.runtimes import (
    AOTInductor,
    Artefact,
    DeployableRuntime,
    Eager,
    OnnxRuntime,
    OpenVINO,
    Quantised,
    Session,
    resident_memory,
)
from lightning_primo.runtimes.loading_process import load_in_process
from lightning_primo.runtimes.resident_memory import ResidentMemory, summary
from lightning_primo.training import run_job
from tests.runtimes.networks import IMAGES, digits_classifier
from tests.tiny import Net
from tests.training.jobs import make_job

OWN = OnnxRuntime()
MB = 1e6


def wide(n_units: int) -> nn.Module:
    return nn.Sequential(nn.Linear(8, n_units), nn.ReLU(), nn.Linear(n_units, n_units), nn.ReLU())


def measured(runtime: DeployableRuntime, module: nn.Module, inputs: Any) -> PeakMemory:
    memory = PeakMemory("cpu", runtime=runtime, threads=1)
    memory.value = memory.value_for(module, inputs)
    return memory


@pytest.mark.parametrize(
    "runtime",
    [OWN, pytest.param(OpenVINO(), marks=pytest.mark.slow), pytest.param(AOTInductor(), marks=pytest.mark.slow)],
    ids=repr,
)
def test_weights_are_resident_once_at_least_and_few_times_at_most(runtime: DeployableRuntime) -> None:
    small, large = (measured(runtime, wide(n_units), torch.zeros(1, 8)) for n_units in (16, 2048))
    weights = 4 * 2048**2
    assert 0.9 * weights < large.value - small.value < 4 * weights
    assert small.value < 100 * MB
    for memory in (small, large):
        assert memory.deviation is not None
        assert memory.deviation < 0.1 * memory.value  # 0.2 % in ONNX Runtime, 4 % in AOTInductor


def test_inputs_and_what_is_between_are_counted() -> None:
    """One channel of 4 MB comes in, sixteen are in between and come out, in one layout or two of the runtime's.

    Its blocks are of eight channels or of sixteen, by the processor; what is no multiple of these is filled up.
    """
    layers = nn.Sequential(nn.Conv2d(1, 16, 1), nn.ReLU(), nn.Conv2d(16, 16, 1))
    small, large = (measured(OWN, layers, torch.zeros(1, 1, side, side)) for side in (8, 1024))
    assert 130 * MB < large.value - small.value < 340 * MB


def test_its_process_is_described_and_logged() -> None:
    memory = measured(OWN, digits_classifier(), IMAGES)
    names = {"memory_cpu", "memory_cpu_spread", "memory_cpu_baseline", "memory_cpu_preparation"}
    assert memory.logs().keys() == names
    assert 20 * MB < memory.logs()["memory_cpu_baseline"] < 200 * MB  # Python, NumPy and the runtime; no PyTorch
    assert memory.measured_on["runtime"] == OWN.text()
    assert memory.measured_on["threads"] == "1"
    assert same_place(memory.measured_on, memory.place())
    assert not same_place(memory.place(), PeakMemory("cpu").place())
    assert str(memory.measurement).endswith(f"batch size 1, float32, 1 thread, {OWN.text()}")
    assert memory.noisy
    assert not PeakMemory("cpu").noisy


_WAITS = """
import os, subprocess, sys
process = subprocess.Popen(sys.argv[1:])
_, _, usage = os.wait4(process.pid, 0)
print(usage.ru_maxrss, file=sys.stderr)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss has another unit")
def test_the_system_tells_who_waits_for_the_process_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who waits is a small process: the kernel takes what a new one was forked from for a part of its peak."""
    run, told = subprocess.run, list[int]()

    def waited_for(command: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
        done: subprocess.CompletedProcess[str] = run([sys.executable, "-c", _WAITS, *command], **options)
        told.append(1024 * int(done.stderr.split()[-1]))
        return done

    artefact = OWN.export(wide(1024), torch.zeros(1, 8), tmp_path)
    monkeypatch.setattr(subprocess, "run", waited_for)
    found = load_in_process(OWN, artefact, [torch.zeros(1, 8).numpy()], threads=1)
    assert [found.peak + found.before] == pytest.approx(told, rel=0.01)


def test_a_search_measures_a_network_once(tmp_path: Path) -> None:
    objectives = (PeakMemory("cpu", runtime=OWN),)
    first, again = (
        run_job(make_job(tmp_path / "trials" / str(lr), 1, module=Net, config={"lr": lr}, objectives=objectives))
        for lr in (0.1, 0.01)
    )
    assert first.losses == again.losses
    assert first.losses[0] > 1 * MB
    assert "memory_cpu_reused" not in first.measurements
    assert again.measurements["memory_cpu_reused"] == 1
    assert first.deviations == again.deviations
    assert first.deviations.keys() == {"memory_cpu"}


def test_median_and_deviation_of_three() -> None:
    """The deviation of the median of three is 0.67 of theirs, whose own from three is too small by 0.886."""
    found = [ResidentMemory(peak=peak, before=before) for peak, before in ((1, 7), (2, 9), (6, 8))]
    assert summary(found) == pytest.approx((2.0, 0.756 * 7**0.5, 8.0), rel=1e-3)


def test_what_cannot_be_loaded_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    artefact = OWN.export(wide(4), torch.zeros(1, 8), tmp_path)
    array = torch.zeros(1, 8).numpy()
    assert load_in_process(OWN, artefact, [array], threads=1).peak > 0
    with pytest.raises(NotDeployableError, match="cannot be loaded and called"):
        load_in_process(OWN, artefact, [array[:, :3]], threads=1)
    artefact.path.write_bytes(b"no network")
    broken = Artefact.of_files(artefact.path, "onnx", inputs=artefact.inputs, outputs=artefact.outputs)
    with pytest.raises(NotDeployableError, match="ONNX Runtime cannot load the file"):
        load_in_process(OWN, broken, [array], threads=1)
    monkeypatch.setattr(sys, "executable", "false")
    with pytest.raises(MeasurementFailedError, match=r"died \(exit code 1\): is there too little memory"):
        load_in_process(OWN, artefact, [array], threads=1)


def test_a_system_that_tells_of_no_peak_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resident_memory, "_STATUS", tmp_path / "status")
    with pytest.raises(RuntimeMissingError, match=r"told by Linux alone.*FileNotFoundError.*without 'runtime'"):
        measured(OWN, wide(4), torch.zeros(1, 8))
    (tmp_path / "status").write_text("Name:\tpython\n")
    with pytest.raises(RuntimeMissingError, match="KeyError: 'VmHWM'"):
        measured(OWN, wide(4), torch.zeros(1, 8))


class Elsewhere(OnnxRuntime):
    """Of no module that another process knows."""

    def load(self, artefact: Artefact, **options: Any) -> Session:
        raise NotImplementedError


def test_arguments() -> None:
    with pytest.raises(InvalidArgumentError, match="'runtime' must be a DeployableRuntime"):
        PeakMemory(runtime=Eager())  # type: ignore[arg-type]
    with pytest.raises(InvalidArgumentError, match="'device' must be 'cpu' with a 'runtime', got 'cuda'"):
        PeakMemory("cuda", runtime=OWN)
    with pytest.raises(InvalidArgumentError, match="'training' is for PyTorch"):
        PeakMemory(runtime=OWN, training=True)
    with pytest.raises(InvalidArgumentError, match="'threads' is for a 'runtime'"):
        PeakMemory(threads=2)
    with pytest.raises(InvalidArgumentError, match="'threads'"):
        PeakMemory(runtime=OWN, threads=0)
    with pytest.raises(InvalidArgumentError, match="Elsewhere"):
        PeakMemory(runtime=Elsewhere())
    assert [PeakMemory(runtime=OWN).objective.name, PeakMemory("cpu", runtime=OWN).objective.name] == [
        "memory",
        "memory_cpu",
    ]


def test_settings_are_what_they_were_for_pytorch_and_name_a_runtime() -> None:
    assert PeakMemory("cpu").settings() == {"batch_size": 1, "device": "cpu", "training": False}
    int8 = Quantised(OWN)
    expected = {"batch_size": 1, "device": "cpu", "runtime": int8.settings(), "threads": 2}
    assert PeakMemory(runtime=int8, threads=2).settings() == expected
    assert json.dumps(expected)


@pytest.mark.slow
def test_int8_takes_less(tmp_path: Path) -> None:
    inputs = torch.zeros(1, 8)
    full, int8 = (measured(runtime, wide(2048), inputs).value for runtime in (OWN, Quantised(OWN)))
    assert int8 < 0.9 * full


@pytest.mark.slow
def test_a_package_is_compiled_once(tmp_path: Path) -> None:
    artefact = AOTInductor().export(wide(4), torch.zeros(1, 8), tmp_path)
    package = AOTInductor().deployed(artefact)
    assert AOTInductor().deployed(package) is package
    assert AOTInductor().load(package)([torch.zeros(1, 8).numpy()])[0].shape == (1, 4)
    assert FileSize(AOTInductor()).value_for(wide(4), torch.zeros(1, 8)) == pytest.approx(package.size, rel=0.1)
