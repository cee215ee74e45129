"""The server as it is started on a device."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from lightning_primo.cli.main import main
from lightning_primo.runtimes import OnnxRuntime, Quantised
from lightning_primo.serving import ServedDevice
from lightning_primo.serving.tokens import VARIABLE
from tests.lean_imports import search_path
from tests.serving.conftest import TOKEN
from tests.serving.networks import X, matmul
from tests.serving.processes import ROOT, served

BLOCKED = """
import sys
ALLOWED = {"lightning_primo", "numpy", "onnxruntime", "flatbuffers", "google", "packaging", *sys.stdlib_module_names}
class Blocker:
    def __init__(self, finder):
        self.finder = finder
    def find_spec(self, name, path=None, target=None):
        return self.finder.find_spec(name, path, target) if name.partition(".")[0] in ALLOWED else None
    def __getattr__(self, name):
        return getattr(self.finder, name)
sys.meta_path[:] = [Blocker(finder) for finder in sys.meta_path]
"""


def test_it_measures_with_numpy_and_onnxruntime_alone(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(BLOCKED)
    environment = {"PYTHONPATH": str(tmp_path)}
    tried = subprocess.run([sys.executable, "-c", "import torch"], env=environment, capture_output=True)
    assert b"No module named 'torch'" in tried.stderr
    with served(environment=environment) as server:
        device = ServedDevice(server.address, TOKEN, patience=5.0)
        found = device.measure(matmul(tmp_path), X, runtime=OnnxRuntime(), threads=1, max_seconds=0.1)
        assert found.median > 0
        assert device.place(Quantised(OnnxRuntime()), "cpu", 1)["runtime"].startswith("onnxruntime int8 ")
        assert device.measure(matmul(tmp_path), X, runtime=Quantised(OnnxRuntime()), max_seconds=0.1).median > 0
        code, told = server.end()
    assert code == 0
    assert "ms" in told
    assert TOKEN not in told


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_at_once_and_leaves_nothing(number: signal.Signals, tmp_path: Path) -> None:
    with served(environment={"TMPDIR": str(tmp_path)}) as server:
        assert [path.name[:22] for path in tmp_path.iterdir()] == ["lightning_primo-serve-"]
        code, _ = server.end(number)
    assert code == 0
    assert list(tmp_path.iterdir()) == []


def test_without_a_token_one_is_made_and_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    with served(environment={VARIABLE: ""}) as server:
        _, told = server.end()
    (line,) = (line for line in told.splitlines() if "token: " in line)
    assert len(line.partition("token: ")[2]) == 32


def test_the_command_is_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", "--help"]) == 0
    assert "usage: lightning-primo serve" in capsys.readouterr().out
    assert main(["serve", "--max-size", "much"]) == 2
    assert "--max-size: must be a size such as 64M or 2G, got 'much'" in capsys.readouterr().err
    assert main(["serve", "--token-file", "/no/such/file"]) == 2
    assert "'--token-file' '/no/such/file' cannot be read" in capsys.readouterr().err
    assert main(["serve", "--max-seconds", "nan"]) == 2


def test_the_module_refuses_as_the_command_does(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("short\n")
    command = [sys.executable, "-m", "lightning_primo.serving", "--token-file", str(file)]
    ended = subprocess.run(command, env={"PYTHONPATH": search_path(ROOT)}, capture_output=True, text=True)
    assert ended.returncode == 2
    assert "the token must be 8 to 512" in ended.stderr
    assert "short" not in ended.stderr
