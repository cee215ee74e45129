"""A server under an audit: what it opens for writing, starts, imports or executes is looked at while it is fuzzed.

Prints as JSON what it was seen to do outside of its folder, and how it answered.
"""

from __future__ import annotations

import json
import os
import random
import socket
import sys
import tempfile
import threading
from collections import Counter
from pathlib import Path
from typing import Any

from lightning_primo.runtimes import OnnxRuntime
from lightning_primo.serving import Limits, MeasurementServer, ServedDevice
from lightning_primo.serving.request import LENGTH_BYTES
from tests.serving.networks import X, matmul
from tests.serving.test_server import TOKEN, sent

WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_APPEND
CHANGES = ("os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.chmod", "os.link", "os.symlink", "os.truncate")
EXECUTES = ("os.system", "os.exec", "os.fork", "os.posix_spawn", "pickle.find_class", "marshal.loads", "ctypes.dlopen")


class Audit:
    """Collects what is done outside of `folder` while it is on."""

    def __init__(self) -> None:
        self.on = False
        self.folder = ""
        self.seen: list[str] = []
        sys.addaudithook(self._hook)

    def _hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.on:
            return
        if event == "open":
            path, _, flags = arguments
            if isinstance(flags, int) and flags & WRITES and not self._inside(path):
                self.seen.append(f"{event} {path}")
        elif event in CHANGES and not self._inside(arguments[0], arguments[-1]):
            self.seen.append(f"{event} {arguments}")
        elif event == "subprocess.Popen" and "lightning_primo.serving.measuring" not in arguments[1]:
            self.seen.append(f"{event} {arguments[1]}")
        elif event in EXECUTES or event == "compile":
            self.seen.append(f"{event} {arguments[:1]}")

    def _inside(self, path: Any, below: Any = -1) -> bool:
        """Whether `path` lies in the folder; `below` is the descriptor that it may be relative to."""
        if isinstance(path, int):
            return True
        base = Path(f"/proc/self/fd/{below}").readlink() if isinstance(below, int) and below > 0 else Path()
        return os.path.realpath(base / os.fsdecode(path)).startswith(self.folder)


def malformed(rng: random.Random, good: bytes) -> bytes:
    """A request that is wrong in one of many ways, or in none that HTTP knows of."""
    body = bytearray(good)
    method, path, headers = "POST", "/measurements", {"Authorization": f"Bearer {TOKEN}"}
    length: str | None = None
    match rng.randrange(12):
        case 0:  # noise
            return rng.randbytes(rng.randrange(1, 3000))
        case 1:
            method = rng.choice(["GET", "PUT", "HEAD", "OPTIONS", "TRACE", "PATCH", "X" * 500, "\x00", "post"])
        case 2:
            path = rng.choice(["/", "//", "/../../etc/passwd", "/measurements/..%2f..", "/device?runtime=" + "[" * 900])
            path += rng.choice(["", "?", "?seconds=inf", "?a=b&" * 50, "\x00", "/" * 300])
            method = rng.choice(["GET", "POST", "DELETE"])
        case 3:
            headers["Authorization"] = rng.choice(["", "Bearer", "Bearer \xff", "Basic x", "Bearer " + "x" * 5000])
        case 4:
            length = rng.choice(["-1", "1e3", "0x10", "9" * 30, "", "12, 12", " ", "+5", "\u0661"])
        case 5:
            body = body[: rng.randrange(len(body))]
        case 6:
            body += rng.randbytes(rng.randrange(1, 500))
        case 7:
            body[:LENGTH_BYTES] = rng.randbytes(LENGTH_BYTES)
        case 8:  # single bytes of the JSON
            size = int.from_bytes(body[:LENGTH_BYTES], "big")
            for _ in range(rng.randrange(1, 6)):
                body[LENGTH_BYTES + rng.randrange(size)] = rng.randrange(256)
        case 9:  # values of the JSON
            size = int.from_bytes(body[:LENGTH_BYTES], "big")
            header = json.loads(body[LENGTH_BYTES : LENGTH_BYTES + size])
            place: Any = header
            while True:
                key = rng.choice(list(place) if isinstance(place, dict) else list(range(len(place))))
                if not isinstance(place[key], (dict, list)) or not place[key] or rng.random() < 0.3:
                    break
                place = place[key]
            odd = [None, -1, 0, 1e400, 2**70, True, "", "../../x", "/tmp/x", "..", "x" * 10_000, [], {}, [[[]]], "\x00"]
            place[key] = rng.choice(odd)
            text = json.dumps(header).encode()
            body = bytearray(len(text).to_bytes(LENGTH_BYTES, "big") + text + body[LENGTH_BYTES + size :])
        case 10:
            headers[rng.choice(["Transfer-Encoding", "Expect", "Content-Encoding", "X" * 300])] = rng.choice(
                ["chunked", "gzip", "100-continue", "y" * 70_000, "\r\n injected"]
            )
        case _:  # archives, pickles and other things that are no ONNX file, said to be one
            other = rng.choice([b"PK\x03\x04", b"\x80\x05cos\nsystem\n", b"\x1f\x8b\x08", b"\x7fELF", b"#!/bin/sh\n"])
            size = int.from_bytes(body[:LENGTH_BYTES], "big")
            begin = LENGTH_BYTES + size + X[0].nbytes
            body[begin : begin + len(other)] = other
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    lines.append(f"Content-Length: {len(body) if length is None else length}")
    return "\r\n".join([*lines, "", ""]).encode("utf-8", "surrogatepass") + bytes(body)


def mutated(rng: random.Random, good: bytes, folder: Path, number: int) -> bytes:
    """A request that is well-formed, of a damaged ONNX file."""
    artefact = matmul(folder, seed=number)
    content = bytearray(artefact.path.read_bytes())
    for _ in range(rng.randrange(1, 8)):
        content[rng.randrange(len(content))] = rng.randrange(256)
    artefact.path.write_bytes(content)
    body = sent(type(artefact).of_files(artefact.path, "onnx", inputs=artefact.inputs, outputs=artefact.outputs))
    head = f"POST /measurements HTTP/1.1\r\nAuthorization: Bearer {TOKEN}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def answer(port: int, request: bytes) -> str:
    """The status that is answered, or how the connection ended."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as client:
        try:
            client.sendall(request)
            client.shutdown(socket.SHUT_WR)
            first = client.recv(100)
        except OSError as error:
            return type(error).__name__
    if first.startswith(b'{"error"'):
        return "HTTP/0.9"  # which has no status
    return first.split(b" ")[1].decode() if first.startswith(b"HTTP/") else f"unknown: {first!r}"


def main() -> None:
    """Fuzz with ``requests networks seed``."""
    requests, networks, seed = map(int, sys.argv[1:])
    rng = random.Random(seed)
    audit, limits = Audit(), Limits(size=100_000, seconds=20.0, waiting=1000)
    with tempfile.TemporaryDirectory() as own, MeasurementServer(TOKEN, limits=limits) as server:
        folder = Path(own)
        good = sent(matmul(folder))
        device = ServedDevice(server.address, TOKEN, patience=10.0)
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        device.measure(matmul(folder), X, runtime=OnnxRuntime(), threads=1, max_seconds=0.05)  # all is imported now
        made = [malformed(rng, good) for _ in range(requests)]
        made += [mutated(rng, good, folder, number) for number in range(networks)]
        audit.folder, audit.on = os.path.realpath(server.folder), True
        answers = Counter(answer(int(server.server_address[1]), request) for request in made)
        audit.on = False  # what follows writes files of its own
        found = device.measure(matmul(folder), X, runtime=OnnxRuntime(), threads=1, max_seconds=0.05)
        server.shutdown()
    left = server.folder.exists()
    print(json.dumps({"seen": audit.seen, "answers": answers, "median": found.median, "left": left}))


if __name__ == "__main__":
    main()
