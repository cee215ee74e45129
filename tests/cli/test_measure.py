from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from lightning_primo.cli.commands import measure
from lightning_primo.errors import InvalidArgumentError, NotMeasurableError
from lightning_primo.measure import module_profile as profiles
from lightning_primo.measure.devices import available_devices
from lightning_primo.measure.module_profile import profile_module
from tests.tiny import Net

CONFIG = {
    "model": {"class_path": "tests.tiny.Net", "init_args": {"width": 2}},
    "data": {"class_path": "tests.tiny.Data"},
}
PARAMETERS = 3 * 2 + 2 * 2 + 3  # two linear layers and a batch normalisation between them
FLOPS = 2 * 2 + 2


pytestmark = pytest.mark.usefixtures("_quiet")


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    def quick(*args: Any, **options: Any) -> Any:
        return profiles_latency(*args, warmup=1e-4, max_seconds=1e-3, **options)

    profiles_latency = profiles.measure_latency
    monkeypatch.setattr(profiles, "measure_latency", quick)


def measured(*arguments: object) -> int:
    return measure.run(measure.parser().parse_args([str(argument) for argument in arguments]))


def test_a_project_is_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(yaml.safe_dump(CONFIG))
    file = tmp_path / "new" / "costs.json"
    assert measured("--config", config, "--json", file, "--batch-size", 2, 5, "--threads", 1, "--device", "cpu") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"Net: {PARAMETERS} parameters"
    assert lines[1] == f"{FLOPS} FLOPs (multiply-adds of one sample)"
    assert lines[2].startswith("cpu: ")
    assert lines[2].endswith(", threads: 1")
    assert [line.split()[:2] for line in lines[6:8]] == [["cpu", "2"], ["cpu", "5"]]
    assert [measure.format_bytes(n) for n in (0, 1023, 1536, 2**20, 5 * 2**50)] == [
        *("0 B", "1023 B", "1.5 KiB", "1 MiB", "5120 TiB")
    ]
    found = json.loads(file.read_text())
    assert (found["module"], found["parameters"], found["flops"]) == ("Net", PARAMETERS, FLOPS)
    first, second = found["batches"]
    assert (first["batch_size"], second["batch_size"]) == (2, 5)
    assert first["latency"]["threads"] == 1
    assert 0 < first["latency"]["median"] < 1
    assert first["hardware"]
    assert second["training_memory"] > second["inference_memory"] > first["inference_memory"] > 0
    assert found["versions"]["torch"] == torch.__version__
    assert [path.name for path in file.parent.iterdir()] == ["costs.json"]


def test_the_layers_are_a_table_of_their_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(yaml.safe_dump(CONFIG))
    file = tmp_path / "costs.json"
    assert measured("--config", config, "--json", file, "--as-it-is", "--by-layer", "--device", "cpu") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1] == f"{FLOPS} FLOPs (multiply-adds of the inputs as they are)"
    start = lines.index("by layer, batch as it is, latency on cpu:")
    header, whole = lines[start + 1].split(), lines[start + 3].split()
    assert header == ["layer", "parameters", "multiply-adds", "fvcore", "difference", "activations", "latency"]
    assert whole[:5] == [
        "(all)",
        "Net",
        str(PARAMETERS),
        str(FLOPS),
        str(FLOPS + 4),
    ]  # normalisation, of fvcore's alone
    assert whole[5:] == ["-4", "1", "100.0%"]
    found = json.loads(file.read_text())
    assert found["batches"][0]["batch_size"] is None
    assert found["by_layer"]["layers"][0]["flops"] == FLOPS


def test_defaults_are_two_batch_sizes_on_every_device() -> None:
    options = measure.parser().parse_args(["--config", "a.yaml", "b.yaml"])
    assert options.batch_size == [1, 32]
    assert options.device is None
    assert options.config == ["a.yaml", "b.yaml"]
    again = measure.parser().parse_args(["--config", "a.yaml", "--config", "b.yaml"])
    assert again.config == options.config
    assert available_devices()[0] == "cpu"
    assert len(available_devices()) == 1 + torch.accelerator.is_available()


def test_a_device_that_there_is_not_is_told(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(yaml.safe_dump(CONFIG))
    with pytest.raises(InvalidArgumentError, match=r"'device' = 'cuda:99' cannot .* valid choices: 'auto', 'cpu'"):
        measured("--config", config, "--device", "cpu", "cuda:99")


def test_what_fails_is_a_cell_with_its_reason(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = profiles.measure_latency

    def exhausted(*args: Any, batch_size: int, **options: Any) -> Any:
        if batch_size == 8:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB")
        return run(*args, batch_size=batch_size, **options)

    monkeypatch.setattr(profiles, "measure_latency", exhausted)
    profile = profile_module(Net(), torch.zeros(3, 2), batch_sizes=(1, 8, 4))
    one, eight, four = profile.batches
    assert one.latency is not None
    assert one.inference_memory is not None
    assert one.training_memory is None  # batch normalisation takes no batch of one in training
    assert "Expected more than 1 value per channel" in one.failures["training_memory"]
    assert (eight.latency, eight.failures) == (None, {"latency": "out of memory"})
    assert eight.training_memory is not None
    assert four.failures == {}
    measure.show(profile)
    lines = capsys.readouterr().out.splitlines()
    rows = [line.split() for line in lines if line.startswith("cpu ")]
    assert [row[-1] == "[1]" for row in rows] == [True, False, False]
    assert rows[1][2:5] == ["[2]"] * 3
    assert lines[-2].startswith("[1] NotMeasurableError: calling Net with Tensor inputs")
    assert lines[-1] == "[2] out of memory"


def test_memory_of_the_cpu_that_runs_out_is_told_as_such() -> None:
    huge = torch.nn.Sequential(Huge())
    profile = profile_module(huge, torch.zeros(1, 2), batch_sizes=(1,))
    assert profile.batches[0].failures["latency"] == "out of memory"
    assert profile.flops == 0


class Huge(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.new_empty(2**60).sum()


def test_nothing_could_be_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(yaml.safe_dump({"model": {"class_path": "tests.cli.test_measure.Blind"}, "data": CONFIG["data"]}))
    assert measured("--config", config) == 1
    captured = capsys.readouterr()
    assert "unknown FLOPs" in captured.out
    assert "[1] NotMeasurableError: calling Blind" in captured.out
    config.write_text(yaml.safe_dump({"model": CONFIG["model"]}))
    with pytest.raises(NotMeasurableError, match="no batch of training data"):
        measured("--config", config)


class Blind(Net):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        raise ValueError("cannot see")
