"""A cost that a bench measures: here or on another device, as it is or in a runtime, and remembered."""

from __future__ import annotations

import threading
from abc import abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Generic

import torch
from typing_extensions import override

from lightning_primo.objectives.benches.bench import Bench, M
from lightning_primo.objectives.benches.remembered_bench import RememberedBench
from lightning_primo.objectives.measured_cost import MeasuredCost
from lightning_primo.problem.objective import Objective
from lightning_primo.problem.place import Place


class BenchCost(MeasuredCost[M], Generic[M]):
    """A cost that a bench measures. A subclass makes the bench in its constructor.

    Attributes:
        bench: Where, and in which runtime, it is measured.
        batch_size: Samples in the batch; None for the inputs as they are.
    """

    cuts_inputs = True

    bench: Bench[M]
    batch_size: int | None

    @abstractmethod
    def __init__(self, objective: Objective, *, example_inputs: Any = None) -> None:
        super().__init__(objective, example_inputs=example_inputs)

    @property
    @override
    def elsewhere(self) -> bool:
        return self.bench.elsewhere

    @override
    def begin(self, module: torch.nn.Module, inputs: Any) -> Callable[[threading.Event], float]:
        wait = self.bench.begin(module, inputs, batch_size=self.batch_size)

        def value(stop: threading.Event) -> float:
            self.measurement = measured = wait(stop)
            return float(measured.median)

        return value

    @override
    def measure(self, module: torch.nn.Module, inputs: Any) -> float:
        self.measurement = measured = self.bench.measure(module, inputs, batch_size=self.batch_size)
        return float(measured.median)

    @override
    def settings(self) -> dict[str, Any]:
        return {**super().settings(), **self.bench.settings()}

    @property
    @override
    def noisy(self) -> bool:
        return self.bench.noisy

    @override
    def place(self) -> Place:
        return self.bench.place(batch_size=self.batch_size)

    @override
    def measure_as_on(self, place: Place) -> None:
        self.bench = self.bench.as_on(place)

    @override
    def remember_in(self, folder: Path) -> None:
        if self.noisy:
            self.bench = RememberedBench(self.bench, folder)

    @override
    def logs(self) -> Mapping[str, float]:
        logs = dict(super().logs())
        if self.measurement is not None and self.measurement.runtime:
            logs[f"{self.objective.name}_preparation"] = self.measurement.preparation
        if self.measurement is not None and self.measurement.reused:
            logs[f"{self.objective.name}_reused"] = 1.0
        return logs
