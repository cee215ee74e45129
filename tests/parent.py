"""Processes that are forked from one that has imported what they need.

Torch and Lightning take seconds to import, most of what the tests start hardly longer; forking pays for that once. What
a process finds is as after an execution of Python: its environment, the descriptors that it is given, the rank that
Lightning reads when it is imported, and generators of random numbers that are its own. It becomes a child of the
process that has asked for it, as an orphan that goes to the nearest ancestor which says that it takes them.
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
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

_ABOVE = 500  # where descriptors wait that are to have the numbers of others
_MESSAGE = 1 << 20
_SET_CHILD_SUBREAPER = 36  # of Linux's prctl


class Parent:
    """A process that imports modules, and is forked from then on.

    Args:
        preloaded: The modules.
        forked_from: Another one; None for a process of its own.
    """

    def __init__(self, preloaded: Iterable[str], *, forked_from: Parent | None = None) -> None:
        self._preloaded, self._origin = tuple(preloaded), forked_from
        self._lock = threading.Lock()
        self._connection: socket.socket | None = None
        self._executed: list[subprocess.Popen[bytes]] = []
        self._pid = 0

    def start(self, arguments: Sequence[str], fds: Mapping[int, int], *, env: Mapping[str, str] | None = None) -> int:
        """The process id of a child of this process, as of ``python *arguments``.

        Args:
            arguments: ``-m``, a module and its arguments, or a script's file and its arguments.
            fds: Descriptors of this process by the numbers that they have there.
            env: Variables that it has besides those of this process.
        """
        if not sys.platform.startswith("linux"):
            return self._execute(arguments, fds, env)
        with self._lock:
            if self._connection is None:
                self._connection = self._begin()
            told = {
                "arguments": list(arguments),
                "env": {**os.environ, **(env or {})},
                "parent": os.getpid(),
                "numbers": list(fds),
            }
            _take_orphans(True)
            try:
                socket.send_fds(self._connection, [json.dumps(told).encode()], list(fds.values()))
                return int(self._connection.recv(64))
            finally:
                _take_orphans(False)

    def close(self) -> None:
        """End it; those that were forked from it stay."""
        if self._connection is not None:
            self._connection.close()
            os.waitpid(self._pid, 0)
        for process in self._executed:
            process.poll()

    def _begin(self) -> socket.socket:
        here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with there:
            number = there.fileno()
            arguments = [__file__, str(number), *self._preloaded]
            start = self._execute if self._origin is None else self._origin.start
            self._pid = start(arguments, {0: 0, 1: 1, 2: 2, number: number})
        return here

    def _execute(self, arguments: Sequence[str], fds: Mapping[int, int], env: Mapping[str, str] | None = None) -> int:
        streams = dict(zip(("stdin", "stdout", "stderr"), map(fds.get, range(3)), strict=True))
        kept = [number for number in fds if number > 2]
        command = [sys.executable, "-W", "ignore", *arguments]
        process = subprocess.Popen(command, pass_fds=kept, env={**os.environ, **(env or {})}, **streams)
        self._executed.append(process)  # until it is waited for
        return process.pid


class Script:
    """A script that answers lines by lines, until there are none any more.

    Args:
        parent: Forks it.
        file: The script.
        stderr: Where it writes errors.
        env: Variables that it has besides those of this process.
    """

    def __init__(self, parent: Parent, file: str, *, stderr: int = 2, env: Mapping[str, str] | None = None) -> None:
        hears, told = os.pipe()
        heard, says = os.pipe()
        self._pid = parent.start([file], {0: hears, 1: says, 2: stderr}, env=env)
        os.close(hears)
        os.close(says)
        self._told, self._heard = os.fdopen(told, "w"), os.fdopen(heard)

    def tell(self, line: str) -> None:
        print(line, file=self._told, flush=True)

    def hear(self) -> str:
        return self._heard.readline()

    def close(self) -> None:
        """Let it end."""
        self._told.close()
        self._heard.read()
        self._heard.close()
        os.waitpid(self._pid, 0)


def _take_orphans(yes: bool) -> None:
    ctypes.CDLL(None).prctl(_SET_CHILD_SUBREAPER, int(yes), 0, 0, 0)


def _serve(connection: socket.socket) -> None:
    gc.freeze()  # what a collection looks at in a child is copied
    while True:
        message, received, *_ = socket.recv_fds(connection, _MESSAGE, 64)
        if not message:
            return
        told = json.loads(message)
        here, there = os.pipe()
        pid = os.fork()
        if pid == 0:
            if child := os.fork():
                os.write(there, str(child).encode())
                os._exit(0)
            while os.getppid() != told["parent"]:  # until it is an orphan, and taken
                os.sched_yield()
            end(_become(told, received))
        os.waitpid(pid, 0)
        number = os.read(here, 64)
        for descriptor in (here, there, *received):
            os.close(descriptor)
        connection.send(number)


def end(code: int) -> None:
    """End as the interpreter does, except that the modules stay: to take them apart copies what the parent shares."""
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code & 0xFF)


def run(arguments: Sequence[str]) -> int:
    """Turn this process into that of ``python *arguments``, whose exit code is returned."""
    first, *rest = arguments
    try:
        if first == "-m":
            sys.argv = rest
            runpy.run_module(rest[0], run_name="__main__", alter_sys=True)
        else:
            sys.path.insert(0, str(Path(first).absolute().parent))
            sys.argv = [first, *rest]
            runpy.run_path(first, run_name="__main__")
    except SystemExit as stop:
        if stop.code is None or isinstance(stop.code, int):
            return stop.code or 0
        print(stop.code, file=sys.stderr)
        return 1
    except Exception:
        sys.excepthook(*sys.exc_info())
        return 1
    return 0


def _become(told: dict[str, Any], received: Sequence[int]) -> int:
    waiting = [fcntl.fcntl(descriptor, fcntl.F_DUPFD, _ABOVE) for descriptor in received]
    os.closerange(3, _ABOVE)
    for descriptor, number in zip(waiting, told["numbers"], strict=True):
        os.dup2(descriptor, number)
        os.close(descriptor)
    os.environ.clear()
    os.environ.update(told["env"])
    _be_as_new()
    return run(told["arguments"])


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
    _, number, *names = sys.argv
    for name in names:
        __import__(name)
    del sys.path[0]  # which not all that are forked are to have
    _serve(socket.socket(fileno=int(number)))
