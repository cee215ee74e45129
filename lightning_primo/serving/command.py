"""``lightning-primo serve``, which is ``python -m lightning_primo.serving`` as well; it needs no other package."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Sequence
from types import FrameType
from typing import Any, NoReturn

from lightning_primo.checks import printable
from lightning_primo.errors import InvalidArgumentError, PrimoError
from lightning_primo.serving.identity import identity
from lightning_primo.serving.server import Limits, MeasurementServer
from lightning_primo.serving.stand_in import stand_in_for_typing_extensions
from lightning_primo.serving.tokens import VARIABLE, check_token, new_token

PORT = 8765
_LOOPBACK = ("127.0.0.1", "::1", "localhost")
_UNITS = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        if not self.exit_on_error:  # before Python 3.13 argparse heeds that for some errors alone
            raise argparse.ArgumentError(None, message)
        super().error(message)


def parser() -> argparse.ArgumentParser:
    """The arguments of the command."""
    made = _Parser(
        prog="python -m lightning_primo.serving",
        description="Measure the latency of networks on this device for searches that run elsewhere: they are sent as "
        "ONNX files, measured one after the other, each in a process of its own, and answered with numbers. It needs "
        "numpy and onnxruntime alone, neither torch nor Lightning.",
        epilog="A search uses it by Latency(on='http://this-device:8765', runtime=OnnxRuntime()), with the token in "
        f"the environment variable {VARIABLE} or in ~/.netrc. The connection is not encrypted: reach it through ssh "
        "(Latency(on='ssh://user@device') does so by itself) or behind a proxy with TLS.",
    )
    made.add_argument(
        "--host",
        default="127.0.0.1",
        help="where to listen (default: %(default)s, for this device alone; 0.0.0.0 for its networks)",
    )
    made.add_argument("--port", type=int, default=PORT, help="0 for any that is free (default: %(default)s)")
    made.add_argument(
        "--token-file",
        metavar="FILE",
        help="whose first line is the token; - for standard input (default: the environment variable "
        f"{VARIABLE}, else one is made and shown)",
    )
    made.add_argument(
        "--max-size", type=_size, default=512 << 20, metavar="SIZE", help="largest request, such as 64M (default: 512M)"
    )
    made.add_argument(
        "--max-memory", type=_size, metavar="SIZE", help="that a measurement may take, such as 2G (default: all)"
    )
    made.add_argument(
        "--max-seconds",
        type=float,
        default=120.0,
        metavar="S",
        help="after which a measurement is killed (default: %(default)g)",
    )
    made.add_argument(
        "--max-waiting", type=int, default=16, metavar="N", help="measurements that may wait (default: %(default)s)"
    )
    made.add_argument("--until-input-ends", action="store_true", help="end with standard input, as for ssh")
    made.add_argument("--quiet", action="store_true", help="do not tell of each measurement")
    return made


def run(options: Any) -> int:
    """Serve until Ctrl-C or SIGTERM.

    Raises:
        InvalidArgumentError: If it cannot listen there, or an argument is out of range.
    """
    for name, number in (("--max-seconds", options.max_seconds), ("--max-waiting", options.max_waiting)):
        if not 0 < number < 1e9:
            raise InvalidArgumentError(f"{name!r} must be positive, got {number:g}")
    stand_in_for_typing_extensions()
    token, is_new = _token(options.token_file)
    limits = Limits(
        size=options.max_size,
        seconds=options.max_seconds,
        waiting=options.max_waiting,
        memory=options.max_memory,
    )
    told = _nothing if options.quiet else _tell
    with MeasurementServer(token, host=options.host, port=options.port, limits=limits, told=told) as server:
        device = identity()
        versions = ", ".join(f"{name} {number}" for name, number in device["versions"].items())
        _tell(f"{device['server']} serves {device['hardware']['cpu']}, {device['cores']} cores, {versions}")
        if is_new:
            _tell(f"token: {token}")
        if options.host not in _LOOPBACK:
            _tell("whoever reads along on this network can read the token: use ssh, or a proxy with TLS")
        return _serve(server, options.until_input_ends)


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse and run; the exit code."""
    options = parser().parse_args(arguments)
    try:
        return run(options)
    except PrimoError as error:
        print(printable(f"{parser().prog}: {error}"), file=sys.stderr)
        return 2


def _serve(server: MeasurementServer, until_input_ends: bool) -> int:
    ended = threading.Event()

    def end(number: int = 0, frame: FrameType | None = None) -> None:
        ended.set()

    before = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM)}
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True)
    thread.start()
    print(printable(json.dumps({"address": server.address})), flush=True)  # for whoever has started it
    if until_input_ends:
        threading.Thread(target=_wait_for_end, args=(end,), daemon=True).start()
    try:
        while not ended.wait(0.5):  # a signal interrupts no wait without an end on some systems
            pass
    finally:
        server.shutdown()
        for number, handler in before.items():
            signal.signal(number, handler)
    return 0


def _wait_for_end(end: Any) -> None:
    try:
        while os.read(0, 4096):
            pass
    except OSError:
        pass
    end()


def _token(file: str | None) -> tuple[str, bool]:
    """The token, and whether it is a new one."""
    if file == "-":
        line = b""
        while not line.endswith(b"\n") and (sign := os.read(0, 1)):  # unbuffered: what follows is for `_wait_for_end`
            line += sign
        return check_token(line.decode(errors="replace").strip()), False
    if file is not None:
        try:
            with open(file, encoding="utf-8") as opened:  # noqa: PTH123 - as the user gave it
                return check_token(opened.readline().strip()), False
        except (OSError, UnicodeDecodeError) as error:
            raise InvalidArgumentError(f"'--token-file' {file!r} cannot be read: {error}") from error
    given = os.environ.get(VARIABLE)
    return (check_token(given), False) if given else (new_token(), True)


def _size(text: str) -> int:
    """Bytes, of ``64M``."""
    number, factor = text.strip().upper().removesuffix("B").removesuffix("I"), 1
    if number[-1:] in _UNITS:
        number, factor = number[:-1], _UNITS[number[-1]]
    size = int(number) * factor if number.isdecimal() and len(number) < 12 else 0
    if size < 1:
        raise argparse.ArgumentTypeError(f"must be a size such as 64M or 2G, got {text!r}")
    return size


def _tell(line: str) -> None:
    print(printable(f"{time.strftime('%H:%M:%S')} {line}"), file=sys.stderr, flush=True)


def _nothing(line: str) -> None:
    """For ``--quiet``."""
