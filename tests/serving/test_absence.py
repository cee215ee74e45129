"""A device that is away for a while: whoever asks waits and says so, and nothing is lost."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from lightning_primo.errors import DeviceAwayError, DeviceRefusedError
from lightning_primo.runtimes import OnnxRuntime
from lightning_primo.serving import ServedDevice, local_server
from lightning_primo.serving.absence import Absence, Queueing
from lightning_primo.serving.client import AnsweredError
from lightning_primo.serving.conversation import Conversation
from lightning_primo.serving.request import MeasurementRequest
from tests.serving.conftest import TOKEN
from tests.serving.networks import X, endless, matmul
from tests.serving.processes import served


def test_a_server_that_is_killed_in_the_middle_and_comes_back_measures_all(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    artefact = matmul(tmp_path)
    with served() as first, ThreadPoolExecutor(1) as pool:
        device = ServedDevice(first.address, TOKEN, patience=60.0)
        future = pool.submit(
            device.measure, artefact, X, runtime=OnnxRuntime(), threads=1, max_seconds=5, precision=1e-4
        )
        time.sleep(0.15)  # it is measured or will be; a measuring process takes longer to start
        first.kill()
        time.sleep(2.5)
        assert not future.done()
        with served(first.port):
            assert future.result(timeout=120).median > 0
    away, back = capsys.readouterr().err.splitlines()
    for part in (first.address, "has not answered since", "Connection", "start lightning-primo serve there", "Ctrl-C"):
        assert part in away
    assert "answers again, after" in back


def test_patience_ends(tmp_path: Path) -> None:
    with served() as server:
        server.kill()
        device = ServedDevice(server.address, TOKEN, patience=1.2)
        began = time.monotonic()
        with pytest.raises(DeviceAwayError, match=r"longer than its 'patience' of 1\.2 s"):
            device.measure(matmul(tmp_path), X, runtime=OnnxRuntime())
        assert 1.0 < time.monotonic() - began < 5.0


def test_a_device_that_is_busy_is_not_away(tmp_path: Path) -> None:
    stop = threading.Event()

    class Busy:
        def ask(self, method: str, path: str, *body: object, size: int | None = None) -> dict[str, object]:
            if method == "GET":
                return {}
            stop.set()
            raise AnsweredError(503, "busy", "16 wait")

    artefact = matmul(tmp_path)
    request = MeasurementRequest(
        client="test", files=(), artefact=artefact.description(), inputs=(), runtime=OnnxRuntime().settings()
    )
    away, answered = Absence("http://pi:8765", 60.0), []
    away.over = lambda: answered.append(True)  # type: ignore[method-assign]
    conversation = Conversation(Busy, request, artefact, X, stop, away, Queueing("pi"))  # type: ignore[arg-type]
    with pytest.raises(DeviceAwayError, match="no longer wanted"):
        conversation.go_on()
    assert answered == [True]


def test_a_server_here_that_does_not_end_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[subprocess.Popen[bytes]] = []
    popen = subprocess.Popen

    def deaf(command: list[str], **options: Any) -> subprocess.Popen[bytes]:
        assert command.count("--until-input-ends") == 1
        script = 'import time; print(\'{"address": "http://127.0.0.1:1"}\', flush=True); time.sleep(600)'
        started.append(popen([sys.executable, "-c", script], **options))
        return started[0]

    monkeypatch.setattr(local_server.subprocess, "Popen", deaf)
    monkeypatch.setattr(local_server, "_END_SECONDS", 0.1)
    with local_server.serving_here():
        assert started[0].poll() is None
    assert started[0].returncode == -signal.SIGKILL


def test_what_is_no_longer_wanted_is_given_up_there_too(tmp_path: Path) -> None:
    with served() as server, ThreadPoolExecutor(1) as pool:
        device = ServedDevice(server.address, TOKEN, patience=10.0)
        stop = threading.Event()
        future = pool.submit(device.measure, endless(tmp_path), X, runtime=OnnxRuntime(), stop=stop)
        time.sleep(1.0)
        stop.set()
        with pytest.raises(DeviceAwayError, match="no longer wanted"):
            future.result(timeout=10)
        assert device.measure(matmul(tmp_path), X, runtime=OnnxRuntime(), threads=1, max_seconds=0.05).median > 0


def test_another_token_after_a_restart_is_said_and_no_error_of_the_network(tmp_path: Path) -> None:
    with served() as server:
        with pytest.raises(DeviceRefusedError, match="token") as caught:
            ServedDevice(server.address, "the-token-before").measure(matmul(tmp_path), X, runtime=OnnxRuntime())
        assert "the-token-before" not in str(caught.value)


def test_something_else_that_answers_is_no_server(tmp_path: Path) -> None:
    from http.server import BaseHTTPRequestHandler, HTTPServer

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"{}" if "device" in self.path else b"<html>")

        def log_message(self, *args: object) -> None:
            return

    with HTTPServer(("127.0.0.1", 0), Handler) as other:
        threading.Thread(target=other.serve_forever, args=(0.02,), daemon=True).start()
        address = f"http://127.0.0.1:{other.server_address[1]}"
        with pytest.raises(DeviceRefusedError, match="no measurement server of this version"):
            ServedDevice(address, TOKEN).place(OnnxRuntime(), "cpu", None)
        with pytest.raises(DeviceAwayError, match="something else answers there"):
            ServedDevice(f"{address}/elsewhere", TOKEN, patience=0.0).measure(
                matmul(tmp_path), X, runtime=OnnxRuntime()
            )
        other.shutdown()
