#!/usr/bin/env python3
"""Stands in for ssh: it runs the command on this machine, and forwards the port as ``-L`` asks."""

import json
import os
import socket
import subprocess
import sys
import threading


def pump(source: socket.socket, target: socket.socket) -> None:
    try:
        while piece := source.recv(65_536):
            target.sendall(piece)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        return


def forward(listener: socket.socket, port: int) -> None:
    while True:
        near, _ = listener.accept()
        try:
            far = socket.create_connection(("127.0.0.1", port))
        except OSError:
            near.close()
            continue
        for source, target in ((near, far), (far, near)):
            threading.Thread(target=pump, args=(source, target), daemon=True).start()


def main() -> int:
    arguments = sys.argv[1:]
    with open(os.environ["FAKE_SSH_LOG"], "a") as log:  # noqa: PTH123
        log.write(json.dumps([os.getpid(), arguments]) + "\n")
    if os.environ.get("FAKE_SSH_FAILS"):
        print("Permission denied (publickey).", file=sys.stderr)
        return 255
    host, here, _, there = arguments[arguments.index("-L") + 1].split(":")
    separator = arguments.index("--")
    listener = socket.create_server((host, int(here)))
    threading.Thread(target=forward, args=(listener, int(there)), daemon=True).start()
    return subprocess.run(["sh", "-c", " ".join(arguments[separator + 2 :])]).returncode


if __name__ == "__main__":
    sys.exit(main())
