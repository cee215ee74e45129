"""A value that was measured of a network on a device, and how well it is known."""

from __future__ import annotations

from dataclasses import dataclass

from lightning_primo.measure.devices import batch_name, measuring_place
from lightning_primo.problem.place import UNSTEADY, Place


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """What was measured of a call of a network, and where.

    Args:
        median: Over what was measured several times.
        deviation: Standard deviation of what another measurement would find.
        device: ``"cpu"``, ``"cuda:0"``, …
        hardware: Model of the device.
        batch_size: Samples per call; None for inputs as they are.
        dtype: Of the floating-point parameters, for example ``"float32"``.
        threads: CPU threads within an operator.
        runtime: What computed, with its version; empty for PyTorch as it is.
        preparation: Seconds of exporting, compiling and loading before, which are not in the others.
        reused: Whether it was measured before, of the same network.
    """

    median: float
    deviation: float
    device: str
    hardware: str
    batch_size: int | None
    dtype: str
    threads: int
    runtime: str = ""
    preparation: float = 0.0
    reused: bool = False

    @property
    def steady(self) -> bool:
        """Whether it is known so well that the median is a property of the module, and not of a busy machine."""
        return self.deviation <= UNSTEADY * self.median

    @property
    def measured_on(self) -> Place:
        """Where and how this was measured, as text by name."""
        kind = self.device.partition(":")[0]
        place = measuring_place(kind, self.hardware, batch_size=self.batch_size, threads=self.threads)
        runtime = {"runtime": self.runtime} if self.runtime else {}
        return {**place, **runtime, "dtype": self.dtype}

    @property
    def conditions(self) -> str:
        """Where and how this was measured, for people."""
        threads = f"{self.threads} thread{'s' if self.threads > 1 else ''}"
        runtime = f", {self.runtime}" if self.runtime else ""
        return f"on {self.hardware}, batch size {batch_name(self.batch_size)}, {self.dtype}, {threads}{runtime}"
