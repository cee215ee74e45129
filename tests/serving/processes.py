"""Servers in processes of their own, which tests kill and start anew."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from lightning_primo.serving.tokens import VARIABLE
from tests.lean_imports import search_path
from tests.serving.conftest import TOKEN

ROOT = Path(__file__).parents[2]


class ServerProcess:
    """``python -m lightning_primo.serving``.

    Args:
        port: 0 for any that is free.
        arguments: More of the command line.
        environment: More variables.
    """

    def __init__(
        self, port: int = 0, arguments: Sequence[str] = (), environment: Mapping[str, str] | None = None
    ) -> None:
        paths = search_path(*filter(None, [(environment or {}).get("PYTHONPATH")]), ROOT)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "lightning_primo.serving", "--port", str(port), *arguments],
            env={**os.environ, VARIABLE: TOKEN, **(environment or {}), "PYTHONPATH": paths},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(self.end()[1])
        self.address = str(json.loads(line)["address"])
        self.port = int(self.address.rpartition(":")[2])

    def kill(self) -> None:
        """At once, as when the power goes."""
        self.process.send_signal(signal.SIGKILL)
        self.process.communicate()

    def end(self, number: signal.Signals = signal.SIGTERM) -> tuple[int, str]:
        """Its exit code and what it has told."""
        self.process.send_signal(number)
        _, told = self.process.communicate(timeout=20)
        return self.process.returncode, told


@contextmanager
def served(
    port: int = 0, arguments: Sequence[str] = (), environment: Mapping[str, str] | None = None
) -> Iterator[ServerProcess]:
    """A server, which is gone in the end."""
    server = ServerProcess(port, arguments, environment)
    try:
        yield server
    finally:
        if server.process.poll() is None:
            server.kill()
