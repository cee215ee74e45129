"""Workers that the tests' own process starts by loky are forked from a parent that has imported what they need.

Loky executes Python anew for each, which imports torch and Lightning for eight seconds; the tests start dozens, many of
which they kill at once. Scripts that tests run start theirs as loky does.

What a worker finds is as after an execution: its environment, the descriptors that it is given, its standard streams,
the rank that Lightning reads when it is imported, and generators of random numbers that are its own. It becomes a child
of the process that has asked for it, as an orphan that goes to the nearest ancestor which says that it takes them.
"""

from __future__ import annotations

import atexit
import ctypes
import fcntl
import gc
import json
import os
import random
import runpy
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

_MODULE = "loky.backend.popen_loky_posix"
_PRELOADED = (
    "ConfigSpace",
    "lightning_primo.search.worker_calls",
    "lightning_primo.study.study",
    "lightning_primo.training.ranks.processes",
    "lightning_primo.workers",
    "pytest",
    _MODULE,
)
_ABOVE = 500  # where descriptors wait that are to have the numbers of others
_MESSAGE = 1 << 20
_SET_CHILD_SUBREAPER = 36  # of Linux's prctl
STANDARD = (0, 1, 2)


class WorkerForks:
    """Takes the place of loky's `fork_exec`; `close` ends the parent of the workers.

    Args:
        execute: Loky's.
    """

    def __init__(self, execute: Any) -> None:
        self._execute = execute
        self._lock = threading.Lock()
        self._connection: socket.socket | None = None

    def __call__(self, command: Sequence[str], keep_fds: Sequence[int], env: Mapping[str, str] | None = None) -> int:
        """The process id of a child of this process."""
        if _MODULE not in command:  # loky's tracker of resources, say
            return int(self._execute(command, keep_fds, env=env))
        with self._lock:
            if self._connection is None:
                self._connection = self._start()
            told = {
                "arguments": list(command[command.index(_MODULE) :]),
                "env": {**os.environ, **(env or {})},
                "parent": os.getpid(),
                "fds": [*STANDARD, *map(int, keep_fds)],
            }
            _take_orphans(True)
            try:
                socket.send_fds(self._connection, [json.dumps(told).encode()], told["fds"])  # type: ignore[arg-type]
                return int(self._connection.recv(64))
            finally:
                _take_orphans(False)

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._server.wait()

    def _start(self) -> socket.socket:
        here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with there:
            self._server = subprocess.Popen(
                [sys.executable, "-W", "ignore", __file__, str(there.fileno())], pass_fds=[there.fileno()]
            )
        return here


def _take_orphans(yes: bool) -> None:
    ctypes.CDLL(None).prctl(_SET_CHILD_SUBREAPER, int(yes), 0, 0, 0)


def _serve(connection: socket.socket) -> None:
    for name in _PRELOADED:
        __import__(name)
    gc.freeze()  # what a collection looks at in a child is copied
    while True:
        message, received, *_ = socket.recv_fds(connection, _MESSAGE, 64)
        if not message:
            return
        told = json.loads(message)
        between, child = os.pipe()
        pid = os.fork()
        if pid == 0:
            if worker := os.fork():
                os.write(child, str(worker).encode())
                os._exit(0)
            _wait_for_parent(told["parent"])
            os._exit(_work(told, received))
        os.waitpid(pid, 0)
        number = os.read(between, 64)
        for descriptor in (between, child, *received):
            os.close(descriptor)
        connection.send(number)


def _wait_for_parent(parent: int) -> None:
    """Until this process is an orphan, and taken."""
    while os.getppid() != parent:
        os.sched_yield()


def _work(told: dict[str, Any], received: Sequence[int]) -> int:
    """Be the worker; its exit code."""
    waiting = [fcntl.fcntl(descriptor, fcntl.F_DUPFD, _ABOVE) for descriptor in received]
    os.closerange(len(STANDARD), _ABOVE)
    for descriptor, number in zip(waiting, told["fds"], strict=True):
        os.dup2(descriptor, number)
        os.close(descriptor)
    os.environ.clear()
    os.environ.update(told["env"])
    _be_as_new()
    sys.argv = told["arguments"]
    try:
        runpy.run_module(_MODULE, run_name="__main__", alter_sys=True)
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    return code & 0xFF


def _be_as_new() -> None:
    """Do once more what modules do as they are imported."""
    import numpy as np
    import torch
    from lightning.fabric.utilities.rank_zero import _get_rank, rank_zero_only
    from loky import process_executor

    rank_zero_only.rank = _get_rank() or 0  # type: ignore[attr-defined]
    process_executor._MAX_MEMORY_LEAK_SIZE = int(float(os.environ.get("LOKY_MAX_MEMORY_LEAK_SIZE", 3e8)))
    random.seed()
    np.random.seed()  # noqa: NPY002
    torch.seed()


if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).parents[1])
    _serve(socket.socket(fileno=int(sys.argv[1])))
