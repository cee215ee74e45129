"""A measurement server on another machine, started and reached through the user's own ssh.

The token goes through ssh's standard input, so that no list of processes shows it, and the server ends when that does:
with the search, in whatever way it ends.
"""

from __future__ import annotations

import atexit
import json
import os
import queue
import random
import re
import shlex
import socket
import subprocess
import threading
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from typing import IO
from urllib.parse import urlsplit

from lightning_primo.checks import printable, shown
from lightning_primo.errors import InvalidArgumentError
from lightning_primo.serving.client import Address, UnreachableError
from lightning_primo.serving.tokens import new_token

COMMAND = "python3 -m lightning_primo.serving"
"""What is run on the device, with arguments behind it."""

_START_SECONDS = 60.0
_PORTS = (20_000, 60_000)  # on the device, of which nobody knows which are free
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.%:-]*", flags=re.ASCII)


@dataclass(frozen=True, kw_only=True)
class Target:
    """Where ssh goes to.

    Args:
        host: As ssh knows it, also from its own config.
        user: None for ssh's choice.
        port: None for ssh's choice.
    """

    host: str
    user: str | None = None
    port: int | None = None

    @classmethod
    def of(cls, text: str) -> Target:
        """The target that ``ssh://user@host:port`` holds.

        Raises:
            InvalidArgumentError: If it is none.
        """
        try:
            parts = urlsplit(text)
            host, user, port = parts.hostname or "", parts.username, parts.port
        except ValueError:
            host, user, port, parts = "", None, None, urlsplit("")
        names = [host] if user is None else [host, user]
        if not all(map(_NAME.fullmatch, names)) or parts.password or parts.path.strip("/") or parts.query:
            raise InvalidArgumentError(f"'on' must be 'ssh://host' or 'ssh://user@host:port', got {shown(text)}")
        return cls(host=host, user=user, port=port)


class Tunnel:
    """A server on `target` that is reached at a port of this machine, as long as the process of ssh lives.

    Args:
        target: Where it is started.
        command: By which.

    Raises:
        UnreachableError: If ssh does not come that far.
    """

    def __init__(self, target: Target, command: str = COMMAND) -> None:
        self.token = new_token()
        port = _free_port()
        self.address = Address(scheme="http", host="127.0.0.1", port=port)
        there = random.SystemRandom().randrange(*_PORTS)
        arguments = ["--port", str(there), "--token-file", "-", "--until-input-ends", "--quiet"]
        try:
            self._process = subprocess.Popen(
                [
                    "ssh",
                    *("-o", "BatchMode=yes"),  # nobody is there to type a password
                    *("-o", "ExitOnForwardFailure=yes"),
                    *("-o", "ServerAliveInterval=15"),
                    *("-L", f"127.0.0.1:{port}:127.0.0.1:{there}"),
                    *(() if target.port is None else ("-p", str(target.port))),
                    "--",
                    target.host if target.user is None else f"{target.user}@{target.host}",
                    f"{command} {shlex.join(arguments)}",
                ],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,  # Ctrl-C is for the search
            )
        except FileNotFoundError:
            raise UnreachableError("there is no command 'ssh' on this machine") from None
        self._said: deque[str] = deque(maxlen=3)
        self._begin()

    @property
    def alive(self) -> bool:
        """Whether ssh still runs."""
        return self._process.poll() is None

    def close(self) -> None:
        """End ssh, and the server with it."""
        with suppress(OSError):
            if self._process.stdin is not None:
                self._process.stdin.close()
        try:
            self._process.wait(2.0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        for thread in self._threads:
            thread.join(1.0)  # what ssh has started may still hold the pipes

    def _begin(self) -> None:
        process, lines = self._process, queue.SimpleQueue[bytes]()
        reading = threading.Thread(target=_read_lines, args=(process.stdout, lines), daemon=True)
        listening = threading.Thread(target=self._listen, args=(process.stderr,), daemon=True)
        self._threads = (reading, listening)
        for thread in self._threads:
            thread.start()
        with suppress(OSError):
            process.stdin.write(f"{self.token}\n".encode())
            process.stdin.flush()
        try:
            while True:  # a login script may say something first
                line = lines.get(timeout=_START_SECONDS)
                if not line:
                    break
                if _tells_address(line):
                    return
        except queue.Empty:
            pass
        self.close()
        said = "; ".join(self._said) or f"it said nothing, and ended with the exit code {process.returncode}"
        raise UnreachableError(f"ssh could not start the server there: {said}")

    def _listen(self, errors: IO[bytes]) -> None:
        with errors:
            for line in errors:
                text = printable(line.decode(errors="replace")).strip()
                if text:
                    self._said.append(text[:300])


def tunnel_to(text: str, command: str) -> Tunnel:
    """The tunnel of this process to ``ssh://…``, which is opened anew where it has broken.

    Raises:
        UnreachableError: If it cannot be opened.
        InvalidArgumentError: If `text` is no such address.
    """
    key = (os.getpid(), text, command)
    with _lock:
        tunnel = _tunnels.get(key)
        if tunnel is None or not tunnel.alive:
            if tunnel is not None:
                tunnel.close()
                del _tunnels[key]
            tunnel = _tunnels[key] = Tunnel(Target.of(text), command)
        return tunnel


_tunnels: dict[tuple[int, str, str], Tunnel] = {}
_lock = threading.Lock()


@atexit.register
def _close_all() -> None:
    for (process, _, _), tunnel in list(_tunnels.items()):
        if process == os.getpid():
            tunnel.close()
    _tunnels.clear()


def _read_lines(output: IO[bytes], lines: queue.SimpleQueue[bytes]) -> None:
    with output:
        for line in output:
            lines.put(line)
    lines.put(b"")


def _tells_address(line: bytes) -> bool:
    try:
        return "address" in json.loads(line)
    except (ValueError, TypeError):
        return False


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port
