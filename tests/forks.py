"""Scripts and commands in processes of their own, which have their imports from a common parent.

Torch and Lightning take seconds to import, most scripts of the tests hardly longer. Forking pays for them once. Of this
package nothing is imported before the fork. Used by the fixture `forks`.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.parent import Parent, Script, end, run

PRELOADED = (
    "ConfigSpace",
    "botorch.utils.multi_objective.box_decompositions.non_dominated",
    "lightning.pytorch.cli",
    "loky",
    "matplotlib.pyplot",
    "pandas",
    "plotly.offline",
    "scipy.stats",
)


@dataclass
class Process:
    """One that runs, the leader of a session of its own.

    Attributes:
        pid: Its id.
        out: The file that has its output.
        err: The file that has its errors.
        returncode: As of `subprocess.Popen`; None until `wait` was called.
    """

    server: Script
    pid: int
    out: Path
    err: Path
    returncode: int | None = None

    @property
    def stdout(self) -> str:
        """Its output until now."""
        return self.out.read_text()

    @property
    def stderr(self) -> str:
        """Its errors until now."""
        return self.err.read_text()

    def runs(self) -> bool:
        """Whether it has not ended yet."""
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        return True

    def wait(self) -> int:
        """Its exit code, when it has ended."""
        if self.returncode is None:
            self.returncode = int(_answer(self.server, "end"))
        return self.returncode


class Forks:
    """Starts processes, one at a time.

    Args:
        folder: For what they write.
        parent: Has imported `PRELOADED`.
    """

    def __init__(self, folder: Path, parent: Parent) -> None:
        self._folder, self._count, self._parent = folder, 0, parent
        self._server: Script | None = None

    @contextmanager
    def started(
        self, arguments: Sequence[str | Path], *, cwd: Path | None = None, env: Mapping[str, str] | None = None
    ) -> Iterator[Process]:
        """A process as of ``python *arguments``, which is killed with its session if it still runs in the end.

        Args:
            arguments: ``-m``, a module and its arguments, or a script's file and its arguments.
            cwd: Its folder; None for this process's.
            env: Variables that it has besides those of this process.
        """
        if self._server is None:
            self._server = Script(self._parent, __file__)
        self._count += 1
        out, err = (self._folder / f"{self._count}.{name}" for name in ("out", "err"))
        for file in (out, err):
            file.touch()  # looked at before it has begun
        command = {
            "arguments": [str(argument) for argument in arguments],
            "cwd": str(cwd or Path.cwd()),
            "env": {**os.environ, **(env or {})},
            "out": str(out),
            "err": str(err),
        }
        self._server.tell(json.dumps(command))
        process = Process(self._server, int(_answer(self._server, "begin")), out, err)
        try:
            yield process
        finally:
            if process.returncode is None:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()

    def run(
        self, arguments: Sequence[str | Path], *, cwd: Path | None = None, env: Mapping[str, str] | None = None
    ) -> Process:
        """The process of `started` when it has ended."""
        with self.started(arguments, cwd=cwd, env=env) as process:
            process.wait()
        return process

    def close(self) -> None:
        """End the common parent."""
        if self._server is not None:
            self._server.close()


def _answer(server: Script, kind: str) -> str:
    told, _, value = server.hear().partition(" ")
    assert told == kind, "the common parent died"
    return value


def _become(command: dict[str, Any]) -> int:
    """Turn this process into that of ``python *arguments``, and run it.

    Returns:
        Its exit code.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.clear()
    os.environ.update(command["env"])
    os.chdir(command["cwd"])
    for descriptor, name in ((1, "out"), (2, "err")):
        os.dup2(os.open(command[name], os.O_WRONLY | os.O_CREAT | os.O_APPEND), descriptor)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    paths = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    sys.path[:] = [*filter(None, paths), *(path for path in sys.path if path not in paths)]
    if command["arguments"][0] == "-m":
        sys.path.insert(0, command["cwd"])
    return run(command["arguments"])


def _serve() -> None:
    del sys.path[:2]  # of this repository
    for name in PRELOADED:  # which are there already, unless this was executed
        __import__(name)
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            os.setsid()
            end(_become(json.loads(line)))
        print("begin", pid, flush=True)
        _, status = os.waitpid(pid, 0)
        print("end", os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    _serve()
