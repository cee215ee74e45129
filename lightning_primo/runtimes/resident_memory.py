"""The memory that an artefact takes in the process that loads it. Needs Linux, which tells a process of its peak."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median, stdev

from lightning_primo.errors import RuntimeMissingError
from lightning_primo.runtimes.artefact import Artefact
from lightning_primo.runtimes.deployable_runtime import DeployableRuntime
from lightning_primo.runtimes.runtime import Array

PROCESSES = 3
"""In which the memory of a network is measured, one after the other."""

_STATUS, _PEAK_IS_NOW = Path("/proc/self/status"), Path("/proc/self/clear_refs")
_NOW, _PEAK = "VmRSS", "VmHWM"
_RESET = "5"  # see proc(5)
_CALLS = 3  # ONNX Runtime has its largest pool of memory from the second one on

# The median of three normal values varies 0.670 times as much as they do, and the standard deviation of three comes out
# too small by the factor 0.886 on average (the constant c4).
_OF_MEDIAN = 0.670 / 0.886


@dataclass(frozen=True, kw_only=True)
class ResidentMemory:
    """Resident memory of a process that loads an artefact and calls it.

    Args:
        peak: The most bytes while it loaded and called, beyond `before`.
        before: Bytes with the runtime imported, and no artefact.
    """

    peak: int
    before: int


def resident_memory(
    runtime: DeployableRuntime,
    artefact: Artefact,
    inputs: Callable[[], Sequence[Array]],
    *,
    device: str = "cpu",
    threads: int | None = None,
) -> ResidentMemory:
    """What loading and calling an artefact takes of this process, in which nothing else should run.

    Args:
        runtime: What loads.
        artefact: As `DeployableRuntime.deployed` gives it.
        inputs: Reads the inputs, which count as well.
        device: Where to run.
        threads: CPU threads within an operator; None for the runtime's default.

    Raises:
        NotDeployableError: If it cannot be loaded.
        RuntimeMissingError: If something that it needs is not here, or the system does not tell.
    """
    require_readable()
    runtime.start()
    with _told_by_linux_alone():
        _PEAK_IS_NOW.write_text(_RESET)
    before = _bytes(_NOW)
    run = runtime.load(artefact, device=device, threads=threads).bound(inputs())
    for _ in range(_CALLS):
        run()
    return ResidentMemory(peak=_bytes(_PEAK) - before, before=before)


def summary(found: Sequence[ResidentMemory]) -> tuple[float, float, float]:
    """Of `PROCESSES` measurements in bytes: the median peak, its standard deviation, the median of what was before."""
    peaks = [one.peak for one in found]
    return float(median(peaks)), _OF_MEDIAN * stdev(peaks), float(median(one.before for one in found))


def require_readable() -> None:
    """Raise unless this system tells a process of its peak memory. The peak of this process stays as it is.

    Raises:
        RuntimeMissingError: It says what to do.
    """
    with _told_by_linux_alone():
        _bytes(_PEAK)
        _PEAK_IS_NOW.open("w").close()


@contextmanager
def _told_by_linux_alone() -> Iterator[None]:
    try:
        yield
    except (OSError, KeyError) as error:
        raise RuntimeMissingError(
            "the peak memory of a process is told by Linux alone, in /proc/self/status and /proc/self/clear_refs, and "
            f"they cannot be used here ({type(error).__name__}: {error}); measure on a device with Linux, as by "
            "PeakMemory(on='ssh://user@device'), or without 'runtime'"
        ) from error


def _bytes(name: str) -> int:
    entries = dict(line.split(":", 1) for line in _STATUS.read_text().splitlines() if ":" in line)
    return int(entries[name].split()[0]) << 10
