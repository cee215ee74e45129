"""The seconds of a forward pass as an objective."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any

import torch
from typing_extensions import override

from lightning_primo.checks import check_whole, shown
from lightning_primo.errors import InvalidArgumentError
from lightning_primo.measure.devices import device_name, measuring_place, resolve_device
from lightning_primo.measure.latency import LatencyMeasurement, measure_latency
from lightning_primo.objectives.base import CostCallback
from lightning_primo.objectives.cost_arguments import check_batch_size, cost_objective, name_on
from lightning_primo.objectives.served_latency import ServedLatency
from lightning_primo.problem.objective import Kind
from lightning_primo.problem.place import Place
from lightning_primo.runtimes import OnnxRuntime, Runtime
from lightning_primo.serving import ServedDevice
from lightning_primo.timing.timer import MAX_SECONDS, PRECISION


class Latency(CostCallback):
    """Seconds of a forward pass: the median over many calls. Measured, with nothing of this user's beside it.

    Logged as ``latency_cpu``, ``latency_cuda``, … (``latency`` for ``"auto"``) together with the interquartile range
    over the calls, ``latency_cpu_iqr``, and the standard deviation of the measurement, ``latency_cpu_spread``. In a
    search this spread is known to the models, and the front is measured again in the end.

    Args:
        device: Where to measure, whatever the module is trained on. ``"auto"`` is the accelerator where there is one,
            else the CPU.
        batch_size: Samples per call; None for the inputs as they are, whatever they hold.
        example_inputs: See `CostCallback`.
        dtype: Cast weights and inputs to this floating-point type; default: as they are.
        threads: CPU threads within an operator; default: as set in the process that makes a search's first measurement;
            on a served device as many as it has cores.
        on: The device that measures, on which ``lightning-primo serve`` runs: its address, or a `ServedDevice`. Then
            this machine trains meanwhile, unless there is a bound. Default: this machine.
        runtime: What computes there, given an ONNX file; `OnnxRuntime` by default.
        at_most: Configurations that take longer, in seconds, are rejected.
        at_least: Configurations that take less, in seconds, are rejected.
        reference: Coordinate of the hypervolume's reference point, in seconds.
        log: Whether it is searched on a logarithmic scale, on which a value of zero has no place: a trial that has one
            fails then.
        name: Name of the objective; to be given where two latencies on the same kind of device are wanted.

    Attributes:
        measurement: The last measurement in full: spread, hardware, batch size, type, threads. None before the first,
            and in processes other than rank zero.

    Raises:
        InvalidArgumentError: For a batch size, thread number or type out of range. Whether there is such a device is
            known only where it is measured.
    """

    cuts_inputs = True

    def __init__(
        self,
        device: str = "auto",
        *,
        batch_size: int | None = 1,
        example_inputs: Any = None,
        dtype: torch.dtype | None = None,
        threads: int | None = None,
        on: str | ServedDevice | None = None,
        runtime: Runtime | None = None,
        at_most: float | None = None,
        at_least: float | None = None,
        reference: float | None = None,
        log: bool = True,
        name: str | None = None,
    ) -> None:
        name = name_on(device, "latency") if name is None else name
        cost = cost_objective(Kind.MEASURED, name, at_most=at_most, at_least=at_least, reference=reference, log=log)
        super().__init__(cost, example_inputs=example_inputs)
        check_batch_size(batch_size)
        if threads is not None:
            check_whole("threads", threads, least=1)
        if dtype is not None and not (isinstance(dtype, torch.dtype) and dtype.is_floating_point):
            raise InvalidArgumentError(
                f"'dtype' must be a floating-point type such as torch.bfloat16, got {shown(dtype)}"
            )
        self.device = str(device)
        self.batch_size = batch_size
        self.dtype = dtype
        self.threads = threads
        self.measurement: LatencyMeasurement | None = None
        self._served = None if on is None else ServedLatency(on, runtime or OnnxRuntime())

    @property
    @override
    def elsewhere(self) -> bool:
        return self._served is not None

    @override
    def begin(self, module: torch.nn.Module, inputs: Any) -> Callable[[threading.Event], float]:
        if self._served is None:
            return super().begin(module, inputs)
        wait_for_measurement = self._served.begin(
            module,
            inputs,
            device=self.device,
            batch_size=self.batch_size,
            threads=self.threads,
            precision=PRECISION,
            max_seconds=MAX_SECONDS,
        )

        def wait(stop: threading.Event) -> float:
            self.measurement = wait_for_measurement(stop)
            return self.measurement.median

        return wait

    @override
    def measure(self, module: torch.nn.Module, inputs: Any) -> float:
        if self._served is not None:
            return self.begin(module, inputs)(threading.Event())
        self.measurement = measure_latency(
            module, inputs, device=self.device, batch_size=self.batch_size, dtype=self.dtype, threads=self.threads
        )
        return self.measurement.median

    @property
    @override
    def deviation(self) -> float | None:
        return None if self.measurement is None else self.measurement.deviation

    @property
    @override
    def measured_on(self) -> Place:
        return {} if self.measurement is None else self.measurement.measured_on

    @property
    @override
    def noisy(self) -> bool:
        return True

    @override
    def place(self) -> Place:
        if self._served is not None:
            return self._served.place(self.device, batch_size=self.batch_size, threads=self.threads)
        device = resolve_device(self.device)
        threads = torch.get_num_threads() if self.threads is None else self.threads
        return measuring_place(device.type, device_name(device), batch_size=self.batch_size, threads=threads)

    @override
    def measure_as_on(self, place: Place) -> None:
        if self.threads is None and "threads" in place:
            self.threads = int(place["threads"])

    @override
    def logs(self) -> Mapping[str, float]:
        logs = dict(super().logs())
        if self.measurement is not None:
            logs[f"{self.objective.name}_iqr"] = self.measurement.iqr
        return logs
