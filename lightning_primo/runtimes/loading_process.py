"""A process of its own that loads an artefact and calls it, and says on standard output what memory that took.

It ends when the process that waits for it does, also when that is killed.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from lightning_primo.errors import MeasurementFailedError, NotDeployableError, RuntimeMissingError, first_line
from lightning_primo.python_path import python_path
from lightning_primo.runtimes.artefact import Artefact
from lightning_primo.runtimes.deployable_runtime import DeployableRuntime
from lightning_primo.runtimes.resident_memory import ResidentMemory, resident_memory
from lightning_primo.runtimes.runtime import Array

_SECONDS = 600.0
_REQUEST = "request.json"
_IN, _OUT, _ERRORS = 0, 1, 2
_EASIEST_TO_KILL = "1000"
_ERRORS_BY_NAME = {error.__name__: error for error in (NotDeployableError, RuntimeMissingError)}


def load_in_process(
    runtime: DeployableRuntime, artefact: Artefact, inputs: Sequence[Array], *, threads: int
) -> ResidentMemory:
    """What loading and calling an artefact takes of a new process, on the CPU.

    Args:
        runtime: What loads; one of this package.
        artefact: As `DeployableRuntime.deployed` gives it.
        inputs: In the artefact's order.
        threads: CPU threads within an operator.

    Raises:
        NotDeployableError: If it cannot be loaded.
        RuntimeMissingError: If something that it needs is not here, or the system does not tell of memory.
        MeasurementFailedError: If the process dies, as for lack of memory, or does not end in ten minutes.
    """
    with TemporaryDirectory(prefix="lightning_primo-") as folder:
        for number, array in enumerate(inputs):
            np.save(_input(folder, number), array, allow_pickle=False)
        given = {
            "runtime": runtime.settings(),
            "artefact": artefact.description(),
            "folder": str(artefact.path.parent.absolute()),
            "n_inputs": len(inputs),
            "threads": threads,
        }
        Path(folder, _REQUEST).write_text(json.dumps(given), encoding="utf-8")
        lifeline, end = os.pipe()
        try:
            process = subprocess.run(
                [sys.executable, "-m", "lightning_primo.runtimes.loading_process", folder],
                stdin=lifeline,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=_SECONDS,
                cwd=folder,  # Python looks for modules there first, and this one has none
                env=_environment(threads),
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise MeasurementFailedError(
                f"the process that measured the memory of the artefact had not ended after {_SECONDS:.0f} s"
            ) from None
        finally:
            os.close(lifeline)
            os.close(end)
    try:
        told = json.loads(process.stdout)
    except ValueError:
        last = process.stderr.strip().rpartition("\n")[2]
        raise MeasurementFailedError(
            f"the process that measured the memory of the artefact died (exit code {process.returncode}): "
            f"{last or 'is there too little memory for it?'}"
        ) from None
    if "error" in told:
        raise _ERRORS_BY_NAME[told["error"]](told["message"])
    return ResidentMemory(**told)


def main() -> None:
    """Measure what lies in a folder, as long as standard input is held open."""
    folder = sys.argv[1]
    answer = os.dup(_OUT)
    os.dup2(_ERRORS, _OUT)  # what libraries print is no answer
    threading.Thread(target=_end_with_parent, daemon=True).start()
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(_EASIEST_TO_KILL)
    given = json.loads(Path(folder, _REQUEST).read_text(encoding="utf-8"))
    told: dict[str, Any]
    try:
        told = asdict(_measured(given, folder))
    except (NotDeployableError, RuntimeMissingError) as error:
        told = {"error": type(error).__name__, "message": str(error)}
    except Exception as error:  # of a runtime's C++ part, of a dozen kinds
        message = f"it cannot be loaded and called: {type(error).__name__}: {first_line(str(error))}"
        told = {"error": NotDeployableError.__name__, "message": message}
    os.write(answer, json.dumps(told).encode())
    sys.stderr.flush()
    os._exit(0)  # a runtime's own threads may hang when it is taken down


def _measured(given: dict[str, Any], folder: str) -> ResidentMemory:
    from lightning_primo.runtimes import runtime_of

    runtime = runtime_of(given["runtime"])
    if not isinstance(runtime, DeployableRuntime):
        raise NotDeployableError(f"{runtime.name} is given no file")
    return resident_memory(
        runtime,
        Artefact.described(given["artefact"], Path(given["folder"])),
        lambda: [np.load(_input(folder, number)) for number in range(given["n_inputs"])],
        threads=given["threads"],
    )


def _end_with_parent() -> None:
    """The parent holds the other end of standard input as long as it is there."""
    with suppress(OSError):
        while os.read(_IN, 1):
            pass
    os._exit(1)


def _input(folder: str, number: int) -> Path:
    return Path(folder) / f"{number}.npy"


def _environment(threads: int) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": python_path(), "OMP_NUM_THREADS": str(threads)}


if __name__ == "__main__":
    main()
