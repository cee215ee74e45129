"""One network in several runtimes, side by side."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from lightning_primo.errors import NotDeployableError, RuntimeMissingError, first_line
from lightning_primo.runtimes.deployable_runtime import DeployableRuntime
from lightning_primo.runtimes.runtime import Runtime

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, kw_only=True)
class RuntimeRow:
    """A network in one runtime.

    Args:
        runtime: Its name and version.
        latency: Median seconds of a call; NaN where there is none.
        spread: Standard deviation of the latency, in seconds.
        preparation: Seconds of exporting, compiling and loading.
        size: Bytes of what is deployed; None where nothing is.
        deviation: How far outputs are from PyTorch's, relative to the largest output.
        failure: Why it does not take the network; empty where it does.
    """

    runtime: str
    latency: float = math.nan
    spread: float = math.nan
    preparation: float = math.nan
    size: int | None = None
    deviation: float = math.nan
    failure: str = ""


@dataclass(frozen=True)
class RuntimeComparison:
    """A network in several runtimes, as text by ``print``.

    Args:
        rows: One per runtime, in their order.
    """

    rows: tuple[RuntimeRow, ...]

    def __str__(self) -> str:
        header = ["runtime", "latency", "spread", "prepared in", "size", "off by"]
        cells = [header, *([row.runtime, *_cells(row)] for row in self.rows)]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        lines = [
            "  ".join([first.ljust(widths[0]), *map(str.rjust, rest, widths[1:])]).rstrip() for first, *rest in cells
        ]
        return "\n".join(lines + [f"{row.runtime}: {row.failure}" for row in self.rows if row.failure])


def compare(
    module: nn.Module,
    inputs: Any,
    runtimes: Sequence[Runtime],
    *,
    device: str = "cpu",
    batch_size: int | None = 1,
    threads: int | None = None,
) -> RuntimeComparison:
    """Latency, size and faithfulness of a network in several runtimes.

    A runtime that does not take it, or is not here, has a row that says why. Deviations are told, not judged.

    Args:
        module: It stays as it is.
        inputs: As for `measure.call`.
        runtimes: To compare.
        device: Where to run.
        batch_size: Samples per call; None for the inputs as they are.
        threads: CPU threads within an operator; default: as PyTorch has now.

    Raises:
        NotMeasurableError: If the module cannot be called with `inputs`.
    """
    return RuntimeComparison(tuple(_row(module, inputs, runtime, device, batch_size, threads) for runtime in runtimes))


def _row(
    module: nn.Module, inputs: Any, runtime: Runtime, device: str, batch_size: int | None, threads: int | None
) -> RuntimeRow:
    from lightning_primo.measure.devices import resolve_device
    from lightning_primo.measure.inputs import first_sample, to_device
    from lightning_primo.measure.isolation import placed, rng_kept
    from lightning_primo.measure.latency import threads_set, timed
    from lightning_primo.runtimes.faithfulness import deviation, probes

    place = resolve_device(device)
    module, given = placed(module, device=place), to_device(first_sample(inputs, batch_size), place)
    try:
        with threads_set(threads) as count, TemporaryDirectory(prefix="lightning_primo-") as folder, rng_kept():
            calibration = probes(module, given)
            began = time.perf_counter()
            program = runtime.prepare(
                module, given, directory=Path(folder), device=str(place), threads=count, calibration=calibration
            )
            seconds = time.perf_counter() - began
            artefact = program.artefact
            settled = runtime.settled()
            size = None
            if artefact is not None and isinstance(settled, DeployableRuntime):
                size = settled.deployed(artefact).size
            off = deviation(program, module, given)
            timing = timed(program.bound(given), place)
    except (NotDeployableError, RuntimeMissingError) as error:
        return RuntimeRow(runtime=runtime.name, failure=first_line(str(error)))
    return RuntimeRow(
        runtime=runtime.settled().text(),
        latency=timing.median,
        spread=timing.deviation,
        preparation=seconds,
        size=size,
        deviation=off,
    )


def _cells(row: RuntimeRow) -> list[str]:
    if row.failure:
        return ["-"] * 5
    size = "-" if row.size is None else f"{row.size / 1e3:,.1f} kB"
    times = [f"{row.latency * 1e6:,.0f} µs", f"{row.spread * 1e6:,.0f} µs", f"{row.preparation:.1f} s"]
    return [*times, size, f"{row.deviation:.1e}"]
