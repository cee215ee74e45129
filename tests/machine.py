"""A machine whose name and latencies the tests choose."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from lightning_primo.measure import LatencyMeasurement
from lightning_primo.objectives.benches import bench
from lightning_primo.runtimes import latency


class Machine:
    """Stands in for the machine that latencies are measured on."""

    def __init__(self) -> None:
        self.name = "Chip 9"
        self.latencies = [1e-3]
        self.threads: list[int | None] = []

    def latency(self, module: Any) -> float:
        """Those that are listed, one after the other; the last one stays."""
        return self.latencies.pop(0) if len(self.latencies) > 1 else self.latencies[0]

    def measure(self, module: Any, inputs: Any, **options: Any) -> LatencyMeasurement:
        self.threads.append(options["threads"])
        return self._measurement(self.latency(module), options)

    def _measurement(self, latency: float, options: Any) -> LatencyMeasurement:
        return LatencyMeasurement(
            median=latency,
            iqr=latency / 10,
            deviation=latency / 100,
            runs=9,
            device="cpu",
            hardware=self.name,
            batch_size=options["batch_size"],
            dtype="float32",
            threads=options["threads"] or torch.get_num_threads(),
        )

    def glance(self, module: Any, inputs: Any, **options: Any) -> LatencyMeasurement:
        """It never confirms what was measured before, so that each trial has its own latency."""
        return self._measurement(math.inf, options)

    @classmethod
    def installed(cls, monkeypatch: pytest.MonkeyPatch) -> Machine:
        """A machine in place of the present one, until `monkeypatch` is undone."""
        machine = cls()
        monkeypatch.setattr(latency, "measure_latency", machine.measure)
        monkeypatch.setattr(bench, "measure_latency", machine.glance)
        monkeypatch.setattr(bench, "device_name", lambda device: machine.name)
        return machine
