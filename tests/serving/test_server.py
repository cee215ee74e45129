"""The server as a client meets it: numbers, refusals with their status, and a folder that is empty again."""

from __future__ import annotations

import http.client
import json
import os
import select
import shutil
import site
import socket
import subprocess
import sys
import threading
import time
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from queue import Queue
from typing import Any

import pytest
import torch
from torch import nn

from lightning_primo import PeakMemory
from lightning_primo.errors import DeviceRefusedError, InvalidArgumentError, MeasurementFailedError
from lightning_primo.problem.place import same_place
from lightning_primo.runtimes import Artefact, OnnxRuntime
from lightning_primo.serving import ServedDevice, handler
from lightning_primo.serving.connections import Connections
from lightning_primo.serving.measuring_process import MeasuringProcess, _environment
from lightning_primo.serving.request import ArtefactFile, InputArray, MeasurementRequest
from lightning_primo.serving.server import Limits, MeasurementServer
from lightning_primo.serving.tokens import VARIABLE
from tests.serving.conftest import TOKEN, Serve
from tests.serving.networks import X, endless, enormous, matmul, rewritten

AUTHORIZED = {"Authorization": f"Bearer {TOKEN}"}


def device(server: MeasurementServer, **options: Any) -> ServedDevice:
    return ServedDevice(server.address, TOKEN, **{"patience": 20.0, **options})


def measure(server: MeasurementServer, artefact: Artefact, **options: Any) -> Any:
    settings = {"runtime": OnnxRuntime(), "threads": 1, "max_seconds": 0.1, **options}
    return device(server).measure(artefact, X, **settings)


def asked(
    server: MeasurementServer, method: str, path: str, body: bytes = b"", headers: Any = AUTHORIZED
) -> tuple[int, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_address[1], timeout=10)
    connection.request(method, path, body, headers)
    response = connection.getresponse()
    assert response.headers["Content-Type"] == "application/json"
    values = json.loads(response.read())
    connection.close()
    return response.status, values.get("error", {}).get("kind") or values


def sent(artefact: Artefact, **changes: Any) -> bytes:
    """The body of a request."""
    request = MeasurementRequest(
        **{
            "client": "test",
            "files": tuple(ArtefactFile(name=path.name, size=path.stat().st_size) for path in artefact.files),
            "artefact": artefact.description(),
            "inputs": (InputArray(dtype="float32", shape=(1, 8)),),
            "runtime": OnnxRuntime().settings(),
            "max_seconds": 0.05,
            **changes,
        }
    )
    return request.header() + X[0].tobytes() + b"".join(path.read_bytes() for path in artefact.files)


def test_a_network_is_measured_and_nothing_is_left(serve: Serve, tmp_path: Path) -> None:
    lines: Queue[str] = Queue()  # the answer may be there before it is told
    server = serve(told=lines.put)
    found = measure(server, matmul(tmp_path))
    assert 0 < found.median < 1.0
    assert found.runs >= 3
    assert found.runtime == OnnxRuntime().text()
    assert found.threads == 1
    place = device(server).place(OnnxRuntime(), "cpu", 1)
    assert place == {"hardware": found.hardware, "device": "cpu", "threads": "1", "runtime": found.runtime}
    assert device(server).place(OnnxRuntime(), "cpu", None)["threads"] == str(len(os.sched_getaffinity(0)))
    assert list(server.folder.iterdir()) == []
    assert "ms" in lines.get(timeout=60.0)
    assert lines.empty()


def test_the_memory_of_three_processes_is_measured(serve: Serve, tmp_path: Path) -> None:
    lines: Queue[str] = Queue()
    server = serve(told=lines.put)
    width = 2**20
    small, large = (
        device(server).measure_memory(matmul(tmp_path, width=size), X, runtime=OnnxRuntime(), threads=1)
        for size in (8, width)
    )
    assert 8 * 4 * width < large.median - small.median < 5 * 8 * 4 * width
    assert small.deviation < 0.02 * small.median
    assert 1e7 < small.baseline < 2e8
    assert (small.device, small.threads, small.runtime) == ("cpu", 1, OnnxRuntime().text())
    assert list(server.folder.iterdir()) == []
    assert "MB beyond" in lines.get(timeout=60.0)
    with pytest.raises(MeasurementFailedError, match="cannot load"):
        device(server).measure_memory(rewritten(matmul(tmp_path), b"nonsense"), X, runtime=OnnxRuntime())
    server.limits = Limits(seconds=0.01)
    with pytest.raises(MeasurementFailedError, match=r"had not ended after 0\.01 s"):
        device(server).measure_memory(matmul(tmp_path), X, runtime=OnnxRuntime())


def test_a_search_asks_a_device_for_memory(serve: Serve) -> None:
    net, inputs = (
        nn.Linear(4096, 4096),
        torch.zeros(1, 4096),
    )  # beside its 67 MB, libraries' pages are little
    memory = PeakMemory("cpu", on=device(serve()), threads=1)
    memory.value = memory.begin(net, inputs)(threading.Event())
    assert memory.logs().keys() == {
        "memory_cpu",
        "memory_cpu_spread",
        "memory_cpu_baseline",
        "memory_cpu_preparation",
    }
    assert same_place(memory.measured_on, memory.place())
    here = PeakMemory("cpu", runtime=OnnxRuntime(), threads=1)
    assert here.value_for(net, inputs) == pytest.approx(memory.value, rel=0.05)


@pytest.mark.parametrize(
    ("method", "path", "headers", "status", "kind"),
    [
        ("GET", "/device", {}, 401, "unauthorized"),
        ("GET", "/device", {"Authorization": "Bearer "}, 401, "unauthorized"),
        ("GET", "/device", {"Authorization": f"Basic {TOKEN}"}, 401, "unauthorized"),
        ("GET", "/device", {"Authorization": f"Bearer {TOKEN}x"}, 401, "unauthorized"),
        ("POST", "/measurements", {}, 401, "unauthorized"),
        ("GET", "/elsewhere", AUTHORIZED, 404, "malformed"),
        ("POST", "/elsewhere", AUTHORIZED, 404, "malformed"),
        ("GET", "/measurements/123", AUTHORIZED, 404, "unknown"),
        ("GET", "/../../etc/passwd", AUTHORIZED, 404, "malformed"),
        ("DELETE", "/measurements/123", AUTHORIZED, 404, "unknown"),
        ("GET", "/measurements/1?seconds=nan", AUTHORIZED, 400, "malformed"),
        ("GET", "/device?runtime=[]", AUTHORIZED, 422, "unsupported"),
        ("GET", '/device?runtime={"class":"Pickle","arguments":{}}', AUTHORIZED, 422, "unsupported"),
        ("PUT", "/measurements", AUTHORIZED, 405, "malformed"),
        ("POST", "/measurements", {**AUTHORIZED, "Content-Length": "abc"}, 400, "malformed"),
        ("POST", "/measurements", {**AUTHORIZED, "Content-Length": "-1"}, 400, "malformed"),
        ("POST", "/measurements", {**AUTHORIZED, "Content-Length": str(10**15)}, 413, "too_large"),
        ("POST", "/measurements", {**AUTHORIZED, "Transfer-Encoding": "chunked"}, 411, "malformed"),
    ],
)
def test_refusals(serve: Serve, method: str, path: str, headers: dict[str, str], status: int, kind: str) -> None:
    assert asked(serve(), method, path, headers=headers) == (status, kind)


def test_a_body_must_be_what_its_header_says(serve: Serve, tmp_path: Path) -> None:
    server = serve()
    body = sent(matmul(tmp_path))
    damaged = body[:-1] + bytes([body[-1] ^ 1])
    for content in (b"", body[:-1], body + b"x"):
        assert asked(server, "POST", "/measurements", content) == (400, "malformed")
    assert asked(server, "POST", "/measurements", damaged) == (400, "damaged")
    assert asked(server, "POST", "/measurements", b"\xff\xff\xff\xff" + body) == (400, "malformed")
    assert list(server.folder.iterdir()) == []


def test_a_body_that_never_ends_is_read_no_further_than_its_length(serve: Serve) -> None:
    server = serve(limits=Limits(size=1000))
    with socket.create_connection(("127.0.0.1", server.server_address[1]), timeout=10) as client:
        head = f"POST /measurements HTTP/1.1\r\nAuthorization: Bearer {TOKEN}\r\nContent-Length: 1001\r\n\r\n"
        client.sendall(head.encode() + b"x" * 500)
        assert b"413" in client.recv(1000)


def test_a_hung_network_is_killed_and_the_next_is_measured(serve: Serve, tmp_path: Path) -> None:
    server = serve(limits=Limits(seconds=2.0))
    with pytest.raises(MeasurementFailedError, match="not ended after 2 s, so its process was killed"):
        measure(server, endless(tmp_path))
    server = serve()
    assert measure(server, matmul(tmp_path)).median > 0


def test_what_the_runtime_does_not_take_is_an_error_of_the_network(serve: Serve, tmp_path: Path) -> None:
    server = serve()
    with pytest.raises(MeasurementFailedError, match="cannot load the file"):
        measure(server, rewritten(matmul(tmp_path), b"no ONNX file"))
    with pytest.raises(MeasurementFailedError):
        measure(server, enormous(tmp_path))
    with pytest.raises(DeviceRefusedError, match="not installed here"):
        measure(server, matmul(tmp_path), runtime=OnnxRuntime(providers=["NoExecutionProvider"]))
    with pytest.raises(DeviceRefusedError, match="over the network"):
        measure(server, matmul(tmp_path), runtime=OnnxRuntime(providers=["AzureExecutionProvider"]))
    assert measure(server, matmul(tmp_path)).median > 0


def test_weights_outside_the_folder_are_not_read(serve: Serve, tmp_path: Path) -> None:
    import onnx

    artefact = matmul(tmp_path)
    model = onnx.load(artefact.path)
    weight = model.graph.initializer[0]
    weight.ClearField("raw_data")
    weight.data_location = onnx.TensorProto.EXTERNAL
    secret = tmp_path / "elsewhere" / "weights.bin"
    secret.parent.mkdir()
    secret.write_bytes(bytes(256))
    for location in (str(secret), os.path.relpath(secret, "/"), "../../../../../../../.." + str(secret)):
        del weight.external_data[:]
        weight.external_data.add(key="location", value=location)
        with pytest.raises(MeasurementFailedError, match="cannot load"):
            measure(serve(), rewritten(artefact, model.SerializeToString()))


def test_what_is_too_large_is_not_even_sent(serve: Serve, tmp_path: Path) -> None:
    server = serve(limits=Limits(size=2000))
    with pytest.raises(MeasurementFailedError, match="the server takes 2000"):
        measure(server, matmul(tmp_path, width=500))
    assert measure(server, matmul(tmp_path)).median > 0


def test_a_folder_that_was_tidied_away_is_made_anew(serve: Serve, tmp_path: Path) -> None:
    lines: Queue[str] = Queue()
    server = serve(told=lines.put)
    shutil.rmtree(server.folder)
    body = sent(matmul(tmp_path))
    assert asked(server, "POST", "/measurements", body)[0] == 202
    assert "ms" in lines.get(timeout=60.0)
    shutil.rmtree(server.folder)
    server.folder.write_text("no folder")
    assert asked(server, "POST", "/measurements", body) == (507, "internal")
    assert "nothing can be written" in lines.get(timeout=60.0)
    server.folder.unlink()


def test_a_head_that_dribbles_is_hung_up_on(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handler, "HEAD_SECONDS", 0.2)
    server = serve()
    with socket.create_connection(("127.0.0.1", server.server_address[1]), timeout=60) as client:
        client.sendall(b"GET /device HTTP/1.1\r\nX: ")
        with suppress(ConnectionError):
            for _ in range(600):
                client.sendall(b"x")
                if select.select([client], [], [], 0.05)[0]:
                    break
            else:
                pytest.fail("it is still read")


def test_strangers_of_one_host_leave_room_for_those_with_the_token() -> None:
    connections = Connections(most=4, most_strangers=2)
    assert [connections.admit(number, "a") for number in range(3)] == [True, True, False]
    assert connections.admit(3, "b")
    connections.trust(0)
    assert connections.admit(4, "a")
    assert not connections.admit(5, "c")
    connections.leave(1)
    assert connections.admit(6, "c")


def test_a_host_that_shows_no_token_has_few_connections(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handler, "HEAD_SECONDS", 600.0)
    monkeypatch.setattr(handler.Handler, "timeout", None)
    server = serve()
    with ExitStack() as stack:
        clients = [
            stack.enter_context(socket.create_connection(("127.0.0.1", server.server_address[1]), timeout=60))
            for _ in range(17)
        ]
        assert clients[-1].recv(1) == b""


def test_more_time_than_the_server_gives_is_refused_and_no_error_of_the_network(serve: Serve, tmp_path: Path) -> None:
    with pytest.raises(DeviceRefusedError, match="'max_seconds' = 300 s, but the server ends a measurement after 20 s"):
        measure(serve(), matmul(tmp_path), max_seconds=300.0)


def test_more_outputs_than_can_be_told_are_an_error_of_the_network(tmp_path: Path) -> None:
    artefact = matmul(tmp_path)
    many = replace(artefact, outputs=artefact.outputs * 65)
    nobody = ServedDevice("http://127.0.0.1:1", TOKEN, patience=0.0)
    with pytest.raises(MeasurementFailedError, match="'outputs of the artefact' must be a list of 1 to 64"):
        nobody.measure(many, X, runtime=OnnxRuntime())


def test_only_so_many_wait_and_whoever_gives_up_makes_room(serve: Serve, tmp_path: Path) -> None:
    server = serve(limits=Limits(seconds=30.0, waiting=1))
    slow, quick = sent(endless(tmp_path)), sent(matmul(tmp_path))
    status, running = asked(server, "POST", "/measurements", slow)
    assert status == 202
    state = f"/measurements/{running['id']}"
    while asked(server, "GET", state)[1] != {"state": "measuring", "ahead": 0}:
        time.sleep(0.01)
    _, waiting = asked(server, "POST", "/measurements", quick)
    assert asked(server, "GET", f"/measurements/{waiting['id']}")[1] == {"state": "waiting", "ahead": 1}
    assert asked(server, "POST", "/measurements", quick) == (503, "busy")
    assert asked(server, "DELETE", state) == (200, {"state": "cancelled"})
    assert asked(server, "GET", state) == (404, "unknown")
    status, told = asked(server, "GET", f"/measurements/{waiting['id']}?seconds=10")
    assert told["state"] == "done"
    assert told["measured"]["median"] > 0


def test_two_searches_take_turns(serve: Serve, tmp_path: Path) -> None:
    lines: Queue[str] = Queue()
    server = serve(told=lines.put)
    bodies = [sent(matmul(tmp_path, seed=n), client=client) for n, client in enumerate(["a", "a", "a", "b"])]
    ids = [asked(server, "POST", "/measurements", body)[1]["id"] for body in bodies]
    for identity in ids:
        while asked(server, "GET", f"/measurements/{identity}?seconds=5")[1]["state"] != "done":
            pass
    order = [lines.get(timeout=60.0).partition(" for ")[2].partition(":")[0] for _ in ids]
    assert order[0] == "a"
    assert order.index("b") <= 2
    assert sorted(order) == ["a", "a", "a", "b"]


def test_what_measures_ends_with_the_server_and_knows_no_token(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, TOKEN)
    server = MeasurementServer(TOKEN)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    asked(server, "POST", "/measurements", sent(endless(tmp_path)))
    while not (found := _measuring(server.folder)):
        time.sleep(0.01)
    assert TOKEN not in Path(f"/proc/{found[0]}/environ").read_text()
    assert TOKEN not in Path(f"/proc/{found[0]}/cmdline").read_text()
    server.shutdown()
    server.server_close()
    assert not _measuring(server.folder)
    assert not server.folder.exists()


def _measuring(folder: Path) -> list[int]:
    """The processes that measure below `folder`."""
    found = []
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):  # it has ended
            if str(folder) in process.read_text():
                found.append(int(process.parent.name))
    return found


def test_the_process_that_measures_can_write_no_file(tmp_path: Path) -> None:
    script = (
        "from pathlib import Path\n"
        "from lightning_primo.serving.measuring import _limit\n"
        "_limit(None)\n"
        "try:\n"
        "    Path('written').write_text('something')\n"
        "except OSError as error:\n"
        "    print(error.strerror, Path('written').stat().st_size)\n"
    )
    paths = os.pathsep.join(sys.path)
    ended = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
    )
    assert ended.stdout == "File too large 0\n", ended.stderr


def test_a_port_that_is_taken_is_said(serve: Serve) -> None:
    server = serve()
    with pytest.raises(InvalidArgumentError, match="'--port'"):
        MeasurementServer(TOKEN, port=server.server_address[1])


def test_a_process_that_was_given_up_before_it_began_does_not_begin(tmp_path: Path) -> None:
    from lightning_primo.serving.refusal import RefusedError

    process = MeasuringProcess(tmp_path, seconds=5.0)
    process.kill()
    opened = len(list(Path("/proc/self/fd").iterdir()))
    with pytest.raises(RefusedError, match="cancelled"):
        process.run()
    assert len(list(Path("/proc/self/fd").iterdir())) == opened


def test_a_process_that_has_ended_is_not_killed_as_another_one_may_have_its_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lightning_primo.serving.refusal import RefusedError

    process = MeasuringProcess(tmp_path, seconds=60.0)
    with pytest.raises(RefusedError, match=r"request\.json"):  # it is not there
        process.run()
    killed: list[int] = []
    monkeypatch.setattr(os, "killpg", lambda group, number: killed.append(group))
    process.kill()
    assert killed == []


def test_packages_of_the_user_are_found_where_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(site, "getuserbase", lambda: "/home/someone/.local")
    environment = _environment(tmp_path)
    assert environment["HOME"] == str(tmp_path)
    assert environment["PYTHONUSERBASE"] == "/home/someone/.local"
