"""A measurement server on this machine, in a process of its own: to try things out, or in place of a device."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

from lightning_primo.errors import PrimoError
from lightning_primo.serving.served_device import ServedDevice
from lightning_primo.serving.tokens import new_token

_END_SECONDS = 10.0


@contextmanager
def serving_here(*, cores: Sequence[int] = (), arguments: Sequence[str] = ()) -> Iterator[ServedDevice]:
    """A device that is this machine, served as long as the block lasts.

    Args:
        cores: Those of this machine that it is kept to, on Linux; none for all.
        arguments: Of ``lightning-primo serve``, such as ``["--max-seconds", "30"]``.

    Raises:
        PrimoError: If the server does not start.
    """
    token = new_token()
    command = [
        sys.executable,
        "-m",
        "lightning_primo.serving",
        "--port",
        "0",
        "--token-file",
        "-",
    ]
    with _kept_to(cores):
        process = subprocess.Popen(
            [*command, "--until-input-ends", "--quiet", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is for this process
        )
    try:
        yield ServedDevice(_address(process, token), token)
    finally:
        try:
            process.communicate(timeout=_END_SECONDS)  # its input ends
        except (OSError, subprocess.TimeoutExpired):
            process.kill()
            process.communicate()


def _address(process: subprocess.Popen[bytes], token: str) -> str:
    told = b""
    if process.stdin is not None and process.stdout is not None:
        with suppress(OSError):
            process.stdin.write(f"{token}\n".encode())
            process.stdin.flush()
        told = process.stdout.readline()
    try:
        return str(json.loads(told)["address"])
    except ValueError:
        _, errors = process.communicate()
        reason = errors.decode(errors="replace").strip().split("\n")[-1]
        raise PrimoError(f"no measurement server could be started on this machine: {reason}") from None


@contextmanager
def _kept_to(cores: Sequence[int]) -> Iterator[None]:
    """Have what this thread starts run on some cores."""
    if not cores or not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
