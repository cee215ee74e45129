from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from lightning_primo import read_result
from lightning_primo.cli.cluster import cluster_at
from lightning_primo.cli.main import main
from lightning_primo.errors import InvalidArgumentError
from tests.cli.test_example_inputs import check_flops, searched


class Client:
    """Stands for a client of Dask, whose cluster is a thread."""

    made: list[tuple[tuple[Any, ...], dict[str, Any]]]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.made.append((args, kwargs))
        self.threads = ThreadPoolExecutor(1)

    def get_executor(self) -> ThreadPoolExecutor:
        return self.threads

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *error: object) -> None:
        self.threads.shutdown()


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> type[Client]:
    Client.made = []
    monkeypatch.setattr("distributed.Client", Client)
    return Client


def test_an_address_or_the_file_that_holds_it(client: type[Client], tmp_path: Path) -> None:
    file = tmp_path / "scheduler.json"
    file.write_text("{}")
    with cluster_at("tcp://head:8786") as executor:
        assert executor is not None
        assert executor.submit(int).result() == 0
    with pytest.raises(RuntimeError, match="shutdown"):
        executor.submit(int)
    with cluster_at(str(file)):
        pass
    with cluster_at(None) as none:
        assert none is None
    assert client.made == [(("tcp://head:8786",), {}), ((), {"scheduler_file": str(file)})]


def test_errors(client: type[Client], monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any, **kwargs: Any) -> None:
        raise OSError("Timed out trying to connect to tcp://head:1")

    monkeypatch.setattr("distributed.Client", refuse)
    with pytest.raises(
        InvalidArgumentError, match=r"'dask' must be the address .* got 'tcp://head:1' \(OSError: Timed"
    ):
        cluster_at("tcp://head:1").__enter__()
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(InvalidArgumentError, match=r"pip install 'lightning-primo\[dask\]'"):
        cluster_at("tcp://head:1").__enter__()


def test_a_search_on_a_cluster(client: type[Client], classifier: Path, tmp_path: Path) -> None:
    """The project's own modules, the functions among them that the search file names, are found by the process that
    trains, which has not imported them before."""
    assert main([*searched(tmp_path, "example_batches.three"), "--dask", "tcp://head:8786"]) == 0
    assert len(client.made) == 1
    assert [trial.outcome for trial in read_result(tmp_path / "out").trials] == ["ok"]
    check_flops(tmp_path)
