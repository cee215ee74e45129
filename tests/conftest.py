from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from tests.forks import Forks
from tests.lean_imports import FOLDER, search_path, sitecustomize  # noqa: F401  # for this process

if FOLDER not in os.environ.get("PYTHONPATH", "").split(os.pathsep):
    os.environ["PYTHONPATH"] = search_path(*filter(None, [os.environ.get("PYTHONPATH")]))


@pytest.fixture(scope="session", autouse=True)
def _ctrl_c_is_heard() -> Iterator[None]:
    """Where Ctrl-C is ignored, as under ``nohup make test &``, it would be so in all processes that tests start."""
    ignored = signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    if ignored:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    if ignored:
        signal.signal(signal.SIGINT, signal.SIG_IGN)


@pytest.fixture(scope="session")
def forks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forks]:
    """Starts scripts and commands in processes of their own."""
    if not hasattr(os, "fork"):
        pytest.skip("forks")
    forks = Forks(tmp_path_factory.mktemp("forks"))
    yield forks
    forks.close()
