"""A server that is started through ssh; here a program of that name that runs the command on this machine."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import time
from pathlib import Path

import pytest

from lightning_primo.errors import DeviceAwayError
from lightning_primo.runtimes import OnnxRuntime
from lightning_primo.serving import ServedDevice, tunnel
from tests.lean_imports import search_path
from tests.serving.networks import X, matmul
from tests.serving.processes import ROOT

COMMAND = f"exec {sys.executable} -m lightning_primo.serving"


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What ssh was called with, line by line."""
    folder = tmp_path / "bin"
    folder.mkdir()
    shutil.copy(Path(__file__).with_name("fake_ssh.py"), folder / "ssh")
    (folder / "ssh").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", search_path(ROOT))
    path = tmp_path / "log"
    monkeypatch.setenv("FAKE_SSH_LOG", str(path))
    return path


def calls(log: Path) -> list[tuple[int, list[str]]]:
    return [tuple(json.loads(line)) for line in log.read_text().splitlines()]


def test_a_server_is_started_used_and_ended(log: Path, tmp_path: Path) -> None:
    device = ServedDevice("ssh://me@pi:2222", patience=30.0, command=COMMAND)
    first = device.measure(matmul(tmp_path), X, runtime=OnnxRuntime(), threads=1, max_seconds=0.05)
    assert first.median > 0
    started = calls(log)  # more than one where the port that was drawn was taken there
    pid, arguments = started[-1]
    assert device.measure(matmul(tmp_path), X, runtime=OnnxRuntime(), threads=1, max_seconds=0.05).median > 0
    assert calls(log) == started  # one for all measurements of the process
    assert arguments[arguments.index("-p") + 1] == "2222"
    assert arguments[arguments.index("--") + 1] == "me@pi"
    assert "BatchMode=yes" in arguments
    (opened,) = (opened for (_, text, _), opened in tunnel._tunnels.items() if text == device.address)
    assert opened.token not in " ".join(arguments)
    os.killpg(pid, signal.SIGKILL)  # the connection breaks
    assert device.measure(matmul(tmp_path), X, runtime=OnnxRuntime(), threads=1, max_seconds=0.05).median > 0
    assert len(calls(log)) > len(started)
    (opened,) = (opened for (_, text, _), opened in tunnel._tunnels.items() if text == device.address)
    opened.close()
    assert not opened.alive
    end = time.monotonic() + 10
    while _serving(arguments[arguments.index("-L") + 1].rpartition(":")[2]) and time.monotonic() < end:
        time.sleep(0.05)
    assert not _serving(calls(log)[-1][1][arguments.index("-L") + 1].rpartition(":")[2])


def _serving(port: str) -> bool:
    return any(
        f"--port\0{port}\0" in path.read_text(errors="replace")
        for path in Path("/proc").glob("[0-9]*/cmdline")
        if path.exists()
    )


def test_why_ssh_does_not_get_there_is_said(
    log: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FAKE_SSH_FAILS", "1")
    device = ServedDevice("ssh://pi", patience=8.0, command=COMMAND)
    with pytest.raises(DeviceAwayError, match=r"Permission denied \(publickey\)"):
        device.place(OnnxRuntime(), "cpu", None)
    assert "see that ssh reaches it" in capsys.readouterr().err


def test_a_command_that_is_not_there_is_said(log: Path) -> None:
    device = ServedDevice("ssh://pi", patience=0.0, command="echo something first; no-such-command")
    with pytest.raises(DeviceAwayError, match="no-such-command"):
        device.place(OnnxRuntime(), "cpu", None)
