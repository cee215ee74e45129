"""Where, and in which runtime, a forward pass is measured: its seconds here, its memory in `memory_bench`."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from torch import nn
from typing_extensions import override

from lightning_primo.errors import DeviceMismatchError
from lightning_primo.measure.devices import device_name, measuring_place, resolve_device
from lightning_primo.measure.latency import LatencyMeasurement, measure_latency
from lightning_primo.measure.measurement import Measurement
from lightning_primo.objectives.cost_arguments import check_computation
from lightning_primo.problem.place import Place, place_text, same_place
from lightning_primo.runtimes.compiled import Compiled
from lightning_primo.runtimes.deployable_runtime import DeployableRuntime
from lightning_primo.runtimes.eager import Eager
from lightning_primo.runtimes.first_of import FirstOf
from lightning_primo.runtimes.latencies_in_turn import latencies_in_turn
from lightning_primo.runtimes.latency import check_dtype, runtime_latency
from lightning_primo.runtimes.runtime import Runtime
from lightning_primo.timing import RoundRobin
from lightning_primo.timing.round_robin import FEWEST_ROUNDS
from lightning_primo.timing.timer import MAX_SECONDS, PRECISION

M = TypeVar("M", bound=Measurement)


class Bench(ABC, Generic[M]):
    """Where, and in which runtime, a quantity of a forward pass is measured, such as its seconds."""

    @property
    @abstractmethod
    def kind(self) -> type[M]:
        """The class of its measurements."""

    @abstractmethod
    def measure(self, module: nn.Module, inputs: Any, *, batch_size: int | None) -> M:
        """Measure `module`, which stays as it is.

        Args:
            module: Not on the meta device.
            inputs: As for `measure.call`, of any batch size and on any device; or a `Sample`.
            batch_size: Samples per call; None for the inputs as they are.

        Raises:
            NotDeployableError: If the runtime cannot take the module.
            NotMeasurableError: If it cannot be called with the inputs, or something is not there.
        """

    @property
    def elsewhere(self) -> bool:
        """Whether another device measures, so that this machine may train meanwhile."""
        return False

    @property
    def noisy(self) -> bool:
        """Whether another measurement may come out differently."""
        return True

    @property
    def leaves_runtime_open(self) -> bool:
        """Whether the first module that is measured settles in which of several runtimes all are."""
        return False

    def begin(self, module: nn.Module, inputs: Any, *, batch_size: int | None) -> Callable[[threading.Event], M]:
        """Do of `measure` what needs the module, and return the rest, which may be called in another thread.

        The function that is returned waits for the device; the event that it is given is set when nobody wants the
        measurement any more.
        """
        measured = self.measure(module, inputs, batch_size=batch_size)
        return lambda stop: measured

    def measure_in_turn(
        self, cases: Sequence[tuple[nn.Module, Any]], *, batch_size: int | None, seconds: float
    ) -> RoundRobin:
        """Measure several modules in rounds: ten, of a whole measurement of each, unless it can be done more finely.

        Args:
            cases: Modules, each with its inputs, as for `measure`; one at least.
            batch_size: As for `measure`.
            seconds: Of calls of each, where they take turns within measurements.

        Raises:
            NotDeployableError: As `measure`.
            NotMeasurableError: As `measure`.
            DeviceMismatchError: If another device or version of the runtime answers on the way.
        """
        rounds = []
        places: list[Place] = []
        for turn in range(FEWEST_ROUNDS):
            row = [0.0] * len(cases)
            for index in range(len(cases)):
                number = (index + turn) % len(cases)
                measured = self.measure(*cases[number], batch_size=batch_size)
                places = places or [measured.measured_on]
                if not same_place(measured.measured_on, places[0]):
                    raise DeviceMismatchError(
                        f"what was measured in turn comes from [{place_text(places[0])}] and from "
                        f"[{place_text(measured.measured_on)}], and cannot be compared; measure again"
                    )
                row[number] = measured.median
            rounds.append(row)
        return RoundRobin(np.array(rounds))

    @abstractmethod
    def place(self, *, batch_size: int | None) -> Place:
        """Where it would be measured, without what is the module's."""

    @abstractmethod
    def as_on(self, place: Place) -> Bench[M]:
        """This one, with what it leaves open as it was settled where something was measured at `place`."""

    def settings(self) -> dict[str, Any]:
        """What makes values comparable besides module, inputs and batch size, as JSON values by name."""
        return {}

    def glance(self, module: nn.Module, inputs: Any, *, batch_size: int | None) -> M | None:
        """A measurement by a few calls, where Python computes beside the operators; None where it does not."""
        return None


@dataclass(frozen=True)
class LocalBench(Bench[LatencyMeasurement]):
    """This process, on one of its devices.

    Args:
        device: Where to measure; ``"auto"`` is the accelerator where there is one, else the CPU.
        runtime: What computes.
        dtype: Cast weights and inputs to this floating-point type; None: as they are.
        threads: CPU threads within an operator; None: as set in this process.
        precision: Standard error of the median that is wanted, relative to it.
        max_seconds: When to stop all the same.

    Raises:
        InvalidArgumentError: For a thread number or type out of range, or a type that the runtime does not take.
    """

    device: str = "auto"
    runtime: Runtime = Eager()  # noqa: RUF009 - it has no state
    dtype: torch.dtype | None = None
    threads: int | None = None
    precision: float = PRECISION
    max_seconds: float = MAX_SECONDS

    def __post_init__(self) -> None:
        check_computation(self.threads, self.dtype)
        check_dtype(self.runtime, self.dtype)

    @property
    @override
    def kind(self) -> type[LatencyMeasurement]:
        return LatencyMeasurement

    @property
    @override
    def leaves_runtime_open(self) -> bool:
        return isinstance(self.runtime.settled(), FirstOf)

    @override
    def measure(self, module: nn.Module, inputs: Any, *, batch_size: int | None) -> LatencyMeasurement:
        return runtime_latency(
            self.runtime,
            module,
            inputs,
            device=self.device,
            batch_size=batch_size,
            dtype=self.dtype,
            threads=self.threads,
            precision=self.precision,
            max_seconds=self.max_seconds,
        )

    @override
    def measure_in_turn(
        self, cases: Sequence[tuple[nn.Module, Any]], *, batch_size: int | None, seconds: float
    ) -> RoundRobin:
        if isinstance(self.runtime.settled(), Compiled):  # whose programs of a class forget each other
            return super().measure_in_turn(cases, batch_size=batch_size, seconds=seconds)
        return latencies_in_turn(
            self.runtime,
            cases,
            device=self.device,
            batch_size=batch_size,
            dtype=self.dtype,
            threads=self.threads,
            seconds=seconds,
        )

    @override
    def glance(self, module: nn.Module, inputs: Any, *, batch_size: int | None) -> LatencyMeasurement | None:
        if isinstance(self.runtime.settled(), (DeployableRuntime, Compiled)):
            return None
        return measure_latency(
            module,
            inputs,
            device=self.device,
            batch_size=batch_size,
            dtype=self.dtype,
            threads=self.threads,
            precision=0.1,
            max_seconds=0.02,
            warmup=0.005,
        )

    @override
    def place(self, *, batch_size: int | None) -> Place:
        device = resolve_device(self.device)
        threads = torch.get_num_threads() if self.threads is None else self.threads
        place = measuring_place(device.type, device_name(device), batch_size=batch_size, threads=threads)
        runtime = self.runtime.settled()
        return place if isinstance(runtime, Eager) else {**place, "runtime": runtime.text()}

    @override
    def as_on(self, place: Place) -> Bench[LatencyMeasurement]:
        threads = int(place["threads"]) if self.threads is None and "threads" in place else self.threads
        runtime = self.runtime.settled_as(place.get("runtime", Eager().text()))
        return replace(self, runtime=runtime, threads=threads)

    @override
    def settings(self) -> dict[str, Any]:
        open_ones = {
            "dtype": None if self.dtype is None else str(self.dtype),
            "threads": self.threads,
            "runtime": None if self.runtime == Eager() else self.runtime.settings(),
        }
        return {"device": self.device, **{name: value for name, value in open_ones.items() if value is not None}}
