from __future__ import annotations

import json
import socket
import struct
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lightning_primo.cli.commands import report
from lightning_primo.cli.report_server import ReportServer
from lightning_primo.errors import InvalidArgumentError, StorageError, StoreError
from lightning_primo.problem.trial import Proposal
from lightning_primo.store import Store, read_search
from tests.cli.searches import written


def run(*arguments: object) -> int:
    return report.run(report.parser().parse_args([str(argument) for argument in arguments]))


def test_it_is_written_into_the_directory_or_elsewhere(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    directory, elsewhere = tmp_path / "search", tmp_path / "mine.html"
    written(directory)
    assert run(directory) == 0
    assert capsys.readouterr().out == f"report: {directory / 'report.html'}\n"
    assert run(directory, "--out", elsewhere) == 0
    for path in (directory / "report.html", elsewhere):
        assert "val_error" in path.read_text()
    with pytest.raises(InvalidArgumentError, match="must be a file that ends with"):
        run(directory, "--out", tmp_path)
    with pytest.raises(StorageError, match=r"mine\.html/own\.html' cannot be written: "):
        run(directory, "--out", elsewhere / "own.html")
    with pytest.raises(InvalidArgumentError, match="'--watch' serves the report and writes no file"):
        run(directory, "--out", elsewhere, "--watch", 2)
    with pytest.raises(StoreError, match="searches nearby"):
        run(tmp_path)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ReportServer]:
    written(tmp_path)
    with ReportServer(tmp_path, every=2.0) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def get(server: ReportServer, path: str, **headers: str) -> tuple[int, str, str | None]:
    request = urllib.request.Request(server.address + path, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, answer.read().decode(), answer.headers["ETag"]
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode(), error.headers["ETag"]


def test_the_served_report_is_new_when_the_search_is(server: ReportServer) -> None:
    status, page, _ = get(server, "")
    assert status == 200
    assert 'data-watch="2"' in page
    status, told, tag = get(server, "data.json")
    assert (status, len(json.loads(told)["trials"])) == (200, 8)
    assert tag is not None
    assert get(server, "data.json", **{"If-None-Match": tag})[:2] == (304, "")
    description, events = read_search(server.directory)
    with Store(server.directory, description) as store:
        store.ask(Proposal(trial_id=8, config={"lr": 0.2, "optimizer": "adam"}, epoch=3), elapsed=events[-1][1] + 1)
    status, told, newer = get(server, "data.json", **{"If-None-Match": tag})
    assert (status, len(json.loads(told)["trials"])) == (200, 9)
    assert newer != tag


def test_it_is_for_this_machine_alone(server: ReportServer) -> None:
    assert server.server_address[0] == "127.0.0.1"
    assert get(server, "", Host="evil.example")[0] == 403
    assert get(server, "", Host=f"localhost:{server.server_address[1]}")[0] == 200
    assert get(server, "../search.sqlite")[0] == 404
    assert get(server, "search.sqlite")[0] == 404


def test_a_search_that_cannot_be_read_now_is_asked_for_again(server: ReportServer) -> None:
    log, aside = server.directory / "search.sqlite", server.directory / "aside"
    log.rename(aside)
    status, text, _ = get(server, "data.json")
    assert status == 503
    assert "holds no search" in text
    aside.rename(log)
    assert get(server, "data.json")[0] == 200


def test_a_browser_that_goes_away_is_no_error(
    server: ReportServer, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    left, ended = threading.Event(), threading.Event()
    failed: list[Any] = []
    answer, handle_error, shutdown = server.answer, server.handle_error, server.shutdown_request

    def once_it_has_left(path: str) -> Any:
        assert left.wait(30)
        return answer(path)

    def heard(request: Any, client_address: Any) -> None:
        failed.append(sys.exc_info()[0])
        handle_error(request, client_address)

    def end(request: Any) -> None:
        shutdown(request)
        ended.set()

    monkeypatch.setattr(server, "answer", once_it_has_left)
    monkeypatch.setattr(server, "handle_error", heard)
    monkeypatch.setattr(server, "shutdown_request", end)
    with socket.create_connection(("127.0.0.1", int(server.server_address[1]))) as browser:
        browser.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # leaves at once
        browser.sendall(b"GET / HTTP/1.0\r\nHost: localhost\r\n\r\n")
    left.set()
    assert ended.wait(30)
    assert [issubclass(error, ConnectionError) for error in failed] == [True]
    assert capsys.readouterr().err == ""


def test_a_port_that_is_taken(server: ReportServer) -> None:
    for port in (int(server.server_address[1]), 70_000):
        with pytest.raises(InvalidArgumentError, match=f"'--port' {port} cannot be listened on"):
            ReportServer(server.directory, every=1.0, port=port)
