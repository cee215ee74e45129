from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator

import pytest
from loky.backend import fork_exec

from tests import forks as forks_module
from tests import worker_forks
from tests.forks import Forks
from tests.lean_imports import FOLDER, search_path, sitecustomize  # noqa: F401  # for this process
from tests.parent import Parent

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
def fork_parent() -> Iterator[Parent]:
    """Forks processes that need not import torch and Lightning, and have nothing of this package."""
    parent = Parent(forks_module.PRELOADED)
    yield parent
    parent.close()


@pytest.fixture(scope="session")
def worker_parent(fork_parent: Parent) -> Iterator[Parent]:
    """Forks processes that have imported this package, too."""
    worker_parent = Parent(worker_forks.PRELOADED, forked_from=fork_parent)
    yield worker_parent
    worker_parent.close()


@pytest.fixture(scope="session", autouse=True)
def _workers_are_forked(worker_parent: Parent) -> Iterator[None]:
    """Workers of this process are there in a moment, see `worker_forks`."""
    plain = fork_exec.fork_exec
    if sys.platform.startswith("linux"):
        fork_exec.fork_exec = worker_forks.forking(plain, worker_parent)
    yield
    fork_exec.fork_exec = plain


@pytest.fixture(scope="session")
def forks(fork_parent: Parent, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forks]:
    """Starts scripts and commands in processes of their own."""
    if not hasattr(os, "fork"):
        pytest.skip("forks")
    forks = Forks(tmp_path_factory.mktemp("forks"), fork_parent)
    yield forks
    forks.close()
