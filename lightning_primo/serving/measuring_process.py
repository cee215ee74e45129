"""A measurement in processes of its own, each of which is killed when it does not end in time."""

from __future__ import annotations

import json
import os
import signal
import site
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from http import HTTPStatus
from pathlib import Path
from typing import Any

from lightning_primo.python_path import python_path
from lightning_primo.serving.refusal import RefusedError
from lightning_primo.serving.request import LATENCY, MEMORY

_MOST_ANSWERED = 65_536
_MOST_TOLD = 500  # characters of what a process said last

# Of the server's own variables, none that holds its token.
_KEPT = ("PATH", "SYSTEMROOT", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "VIRTUAL_ENV")
_KEPT_PREFIXES = ("CUDA_", "NVIDIA_", "OPENVINO_", "ORT_", "OMP_", "COVERAGE_")


class MeasuringProcess:
    """One measurement.

    Args:
        folder: Of the measurement: its artefact and inputs lie there, and nothing is written elsewhere.
        seconds: After which it is killed.
        memory: Bytes that it may allocate; None for as many as the machine has.
        quantity: What is measured; a memory by three processes, one after the other.
    """

    def __init__(self, folder: Path, *, seconds: float, memory: int | None = None, quantity: str = LATENCY) -> None:
        self._folder = folder
        self._quantity = quantity
        self._seconds = seconds
        self._memory = memory
        self._process: subprocess.Popen[bytes] | None = None
        self._killed = False
        self._lock = threading.Lock()

    def run(self, readings: Sequence[float] = ()) -> dict[str, Any]:
        """What was measured, as JSON values.

        Args:
            readings: Of the reference workload in earlier measurements, in seconds.

        Raises:
            RefusedError: If it could not be: the runtime does not take the artefact, the process died or was killed.
        """
        work = self._folder / "work"  # empty: nothing that was sent is where modules are looked for
        work.mkdir()
        if self._quantity != MEMORY:
            return self._run(work, readings)
        # Not before it is needed: a device may lack what runtimes import, see `stand_in`.
        from lightning_primo.runtimes.resident_memory import PROCESSES, ResidentMemory, summary

        answers = [self._run(work, readings) for _ in range(PROCESSES)]
        found = [ResidentMemory(peak=answer.pop("peak"), before=answer.pop("before")) for answer in answers]
        median, deviation, baseline = summary(found)
        return {**answers[0], "median": median, "deviation": deviation, "baseline": baseline}

    def _run(self, work: Path, readings: Sequence[float]) -> dict[str, Any]:
        settings = json.dumps({"memory": self._memory, "readings": list(readings)})
        lifeline, end = os.pipe()
        with ExitStack() as ended:
            ended.callback(os.close, end)
            process = self._begun(work, settings, lifeline)
            try:
                answer, told = process.communicate(timeout=self._seconds)
            except subprocess.TimeoutExpired:
                self._end(process)
                process.communicate()
                raise RefusedError(
                    HTTPStatus.GATEWAY_TIMEOUT,
                    "hung",
                    f"it had not ended after {self._seconds:.4g} s, so its process was killed",
                ) from None
            finally:
                with self._lock:
                    self._end(process)
                    self._process = None  # another one may have its number soon
        if self._killed:
            raise _cancelled()
        return self._read(answer, told, process.returncode)

    def _begun(self, work: Path, settings: str, lifeline: int) -> subprocess.Popen[bytes]:
        """The process, which ends with the other end of `lifeline`. Closes that here."""
        try:
            with self._lock:
                if self._killed:
                    raise _cancelled()
                process = self._process = subprocess.Popen(
                    [sys.executable, "-m", "lightning_primo.serving.measuring", str(self._folder), settings],
                    stdin=lifeline,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    cwd=work,
                    env=_environment(work),
                    start_new_session=True,
                )
        finally:
            os.close(lifeline)
        return process

    def kill(self) -> None:
        """End it at once, also before it has begun."""
        with self._lock:
            self._killed = True
            if self._process is not None:
                self._end(self._process)

    def _end(self, process: subprocess.Popen[bytes]) -> None:
        """Kill it and what it has started."""
        with suppress(ProcessLookupError, PermissionError):
            if sys.platform == "win32":
                process.kill()
            else:
                os.killpg(process.pid, signal.SIGKILL)

    def _read(self, answer: bytes, told: bytes, code: int) -> dict[str, Any]:
        try:
            values = json.loads(answer[:_MOST_ANSWERED])
            if "error" in values:
                raise RefusedError(HTTPStatus.UNPROCESSABLE_ENTITY, values["error"]["kind"], values["error"]["message"])
            measured: dict[str, Any] = values["measured"]
        except (ValueError, KeyError, TypeError):
            last = told.decode(errors="replace").strip()[-_MOST_TOLD:]
            raise RefusedError(
                HTTPStatus.UNPROCESSABLE_ENTITY,
                "died",
                f"the process that measured it died ({_death(code)})" + (f": {last}" if last else ""),
            ) from None
        return measured


def _cancelled() -> RefusedError:
    return RefusedError(HTTPStatus.GONE, "cancelled", "the measurement was cancelled")


def _death(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"


def _environment(work: Path) -> Mapping[str, str]:
    """The variables of the process: of the server's those alone that it needs, and folders of its own."""
    kept = {
        name: value for name, value in os.environ.items() if name.upper() in _KEPT or name.startswith(_KEPT_PREFIXES)
    }
    own = {name: str(work) for name in ("HOME", "TMPDIR", "TEMP", "TMP", "XDG_CACHE_HOME")}
    return {
        **kept,
        **own,
        "PYTHONUSERBASE": site.getuserbase(),  # which is found by the HOME that it had
        "PYTHONPATH": python_path(),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONSAFEPATH": "1",
    }


def temporary_folder() -> tempfile.TemporaryDirectory[str]:
    """A folder for a server, which others may not read; removed with it."""
    return tempfile.TemporaryDirectory(prefix="lightning_primo-serve-", ignore_cleanup_errors=True)
