"""The process that measures: it loads one artefact, calls it, and says on standard output what it found.

It may write no file where the system can forbid that, and ends when the server does.
"""

from __future__ import annotations

import json
import math
import os
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

if sys.platform != "win32":
    import resource

from lightning_primo.errors import InvalidArgumentError, NotDeployableError, RuntimeMissingError, first_line
from lightning_primo.serving.hardware import devices, usable_cores
from lightning_primo.serving.identity import versions
from lightning_primo.serving.request import MEMORY, MeasurementRequest, require_little_endian
from lightning_primo.serving.stand_in import stand_in_for_typing_extensions
from lightning_primo.serving.upload import ARTEFACT, HEADER, INPUTS

if TYPE_CHECKING:
    from lightning_primo.runtimes import Artefact, DeployableRuntime

_OUT, _ERRORS = 1, 2
_EASIEST_TO_KILL = "1000"
_OVER_NETWORK = "AzureExecutionProvider"  # of ONNX Runtime, in every wheel


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure what lies in a folder.

    Args:
        arguments: The folder, and JSON with ``memory`` (bytes that may be allocated, None for as many as there are) and
            ``readings`` (seconds of the reference workload, of earlier measurements).
    """
    folder, settings = sys.argv[1:] if arguments is None else arguments
    answer = os.dup(_OUT)
    os.dup2(_ERRORS, _OUT)  # what libraries print is no answer
    threading.Thread(target=_end_with_server, daemon=True).start()
    stand_in_for_typing_extensions()
    given = json.loads(settings)
    _limit(given["memory"])
    told: dict[str, Any]
    try:
        told = {"measured": measure(Path(folder), given["readings"])}
    except NotDeployableError as error:
        told = _failure("not_loadable", error)
    except (RuntimeMissingError, InvalidArgumentError) as error:
        told = _failure("unsupported", error)
    except MemoryError:
        told = {"error": {"kind": "not_loadable", "message": "the device has too little memory for it"}}
    except Exception as error:  # of a runtime's C++ part, of a dozen kinds, while it computes
        told = _failure("not_loadable", error)
    os.write(answer, json.dumps(told).encode())
    sys.stderr.flush()
    os._exit(0)  # a runtime's own threads may hang when it is taken down


def measure(folder: Path, readings: Sequence[float] = ()) -> dict[str, Any]:
    """Measure what lies in `folder`.

    Args:
        folder: As `upload.receive` has written it.
        readings: Of the reference workload in earlier measurements, see `timing.Reference`.

    Raises:
        NotDeployableError: If the runtime does not take the artefact or the inputs.
        RuntimeMissingError: If it is not installed, or the system does not tell of a process's memory.
        InvalidArgumentError: If there is no such runtime or device.
    """
    from lightning_primo.runtimes import Artefact, DeployableRuntime, runtime_of

    require_little_endian()
    request = MeasurementRequest.read((folder / HEADER).read_bytes())
    if _OVER_NETWORK in json.dumps(request.runtime):
        raise InvalidArgumentError(f"{_OVER_NETWORK} computes over the network, which this server does not let it")
    runtime = runtime_of(request.runtime)
    artefact = Artefact.described(request.artefact, folder / ARTEFACT)
    if not isinstance(runtime, DeployableRuntime) or runtime.format != artefact.format:
        raise InvalidArgumentError(f"{runtime.name} does not load artefacts of the format {artefact.format!r}")
    threads = usable_cores() if request.threads is None else request.threads
    inputs = partial(arrays, request, folder / INPUTS)
    measured = _memory if request.quantity == MEMORY else _latency
    return {
        **measured(runtime, artefact, inputs, request, threads, readings),
        "hardware": devices().get(request.device.partition(":")[0], "unknown"),
        "device": request.device,
        "threads": threads,
        "runtime": runtime.text(),
        "versions": versions(),
    }


def _latency(
    runtime: DeployableRuntime,
    artefact: Artefact,
    inputs: Callable[[], list[Any]],
    request: MeasurementRequest,
    threads: int,
    readings: Sequence[float],
) -> dict[str, Any]:
    from lightning_primo.timing import Reference, time_calls

    run = runtime.load(artefact, device=request.device, threads=threads).bound(inputs())
    reference = Reference(known=readings)
    timing = time_calls(run, precision=request.precision, max_seconds=request.max_seconds, reference=reference)
    return {
        "median": timing.median,
        "iqr": timing.iqr,
        "error": timing.error,
        "deviation": timing.deviation,
        "runs": timing.runs,
        "slowdown": timing.slowdown,
        "seconds": timing.seconds,
        "steady": timing.steady,
        "readings": [float(f"{reading:.4g}") for reading in reference.readings],
    }


def _memory(
    runtime: DeployableRuntime,
    artefact: Artefact,
    inputs: Callable[[], list[Any]],
    request: MeasurementRequest,
    threads: int,
    readings: Sequence[float],
) -> dict[str, Any]:
    """Of this process alone; the server makes one value of several of them."""
    from lightning_primo.runtimes.resident_memory import resident_memory

    found = resident_memory(runtime, artefact, inputs, device=request.device, threads=threads)
    return {"peak": found.peak, "before": found.before, "readings": list(readings)}


def arrays(request: MeasurementRequest, path: Path) -> list[Any]:
    """The inputs in order, of their types and shapes."""
    import numpy as np

    with path.open("rb") as file:
        return [
            np.fromfile(file, dtype=array.dtype, count=math.prod(array.shape)).reshape(array.shape)
            for array in request.inputs
        ]


def _failure(kind: str, error: Exception) -> dict[str, Any]:
    ours = isinstance(error, (NotDeployableError, RuntimeMissingError, InvalidArgumentError))
    text = first_line(str(error))[:1000]
    return {"error": {"kind": kind, "message": text if ours else f"{type(error).__name__}: {text}"}}


def _limit(memory: int | None) -> None:
    """Take less than the machine has, write no file, and be the first that the system kills for its memory."""
    if sys.platform == "win32":
        return
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(_EASIEST_TO_KILL)
    if memory is None:
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    for name, most in ((resource.RLIMIT_CORE, 0), (resource.RLIMIT_FSIZE, 0), (resource.RLIMIT_DATA, memory)):
        _, hard = resource.getrlimit(name)
        with suppress(ValueError, OSError):
            resource.setrlimit(name, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))


def _end_with_server() -> None:
    """The server holds the other end of standard input as long as it is there."""
    with suppress(OSError):
        while os.read(0, 1):
            pass
    os._exit(1)


if __name__ == "__main__":
    main()
