"""Costs that are known before the first training step: parameters, FLOPs, latency, memory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import torch
from typing_extensions import override

from lightning_primo.checks import check_bool, check_text, check_whole, shown
from lightning_primo.errors import InvalidArgumentError
from lightning_primo.measure.devices import batch_name, device_name, measuring_place, resolve_device
from lightning_primo.measure.flops import Uncounted, check_uncounted, count_flops
from lightning_primo.measure.fvcore_count import fvcore_flops
from lightning_primo.measure.inputs import first_sample
from lightning_primo.measure.isolation import dtype_name, dtype_of
from lightning_primo.measure.latency import LatencyMeasurement, measure_latency
from lightning_primo.measure.memory import peak_memory
from lightning_primo.measure.parameters import parameter_count
from lightning_primo.objectives.base import CostCallback
from lightning_primo.problem.objective import Kind, Objective
from lightning_primo.problem.place import Place


class ParameterCount(CostCallback):
    """The number of parameters, logged as ``parameters``. Exact.

    Args:
        trainable_only: Leave out parameters that require no gradient.
        at_most: Configurations with more are rejected.
        at_least: Configurations with fewer are rejected.
        reference: Coordinate of the hypervolume's reference point.
        log: Whether it is searched on a logarithmic scale, on which a value of zero has no place: a trial that has one
            fails then.
        name: Name of the objective.
    """

    def __init__(
        self,
        *,
        trainable_only: bool = True,
        at_most: float | None = None,
        at_least: float | None = None,
        reference: float | None = None,
        log: bool = True,
        name: str = "parameters",
    ) -> None:
        super().__init__(_cost(Kind.EXACT, name, at_most=at_most, at_least=at_least, reference=reference, log=log))
        self.trainable_only = check_bool("trainable_only", trainable_only)

    @property
    @override
    def needs_inputs(self) -> bool:
        return False

    @override
    def measure(self, module: torch.nn.Module, inputs: Any = None) -> float:
        return float(parameter_count(module, trainable_only=self.trainable_only))


class FLOPs(CostCallback):
    """Multiply-adds of a forward pass on one sample, logged as ``flops``. Exact; see `measure.flops` for what counts.

    Args:
        uncounted: What an operator means that does arithmetic but has no formula: ``"error"``, an
            UncountedOperatorError that names it, or ``"ignore"`` to leave it out of the count.
        counter: ``"primo"``, or ``"fvcore"`` for its count, which includes normalisation and other operators, to
            compare with published figures. It cannot use the meta device and takes longer.
        batch_size: Samples that the inputs are cut or repeated to; None for the inputs as they are, whatever they hold.
        example_inputs: See `CostCallback`.
        at_most: Configurations with more are rejected.
        at_least: Configurations with fewer are rejected.
        reference: Coordinate of the hypervolume's reference point.
        log: Whether it is searched on a logarithmic scale, on which a value of zero has no place: a trial that has one
            fails then.
        name: Name of the objective.

    Raises:
        InvalidArgumentError: For another `uncounted` or `counter`.
    """

    cuts_inputs = True

    def __init__(
        self,
        *,
        uncounted: Uncounted = "error",
        counter: Literal["primo", "fvcore"] = "primo",
        batch_size: int | None = 1,
        example_inputs: Any = None,
        at_most: float | None = None,
        at_least: float | None = None,
        reference: float | None = None,
        log: bool = True,
        name: str = "flops",
    ) -> None:
        cost = _cost(Kind.EXACT, name, at_most=at_most, at_least=at_least, reference=reference, log=log)
        super().__init__(cost, example_inputs=example_inputs)
        check_uncounted(uncounted)
        _check_batch_size(batch_size)
        if counter not in ("primo", "fvcore"):
            raise InvalidArgumentError(f"'counter' must be 'primo' or 'fvcore', got {counter!r}")
        self.uncounted = uncounted
        self.counter = counter
        self.batch_size = batch_size

    @override
    def measure(self, module: torch.nn.Module, inputs: Any) -> float:
        count = count_flops if self.counter == "primo" else fvcore_flops
        return float(count(module, first_sample(inputs, self.batch_size), uncounted=self.uncounted))


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
        threads: CPU threads within an operator; default: as set in the process that makes a search's first measurement.
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
        at_most: float | None = None,
        at_least: float | None = None,
        reference: float | None = None,
        log: bool = True,
        name: str | None = None,
    ) -> None:
        name = _name_on(device, "latency") if name is None else name
        cost = _cost(Kind.MEASURED, name, at_most=at_most, at_least=at_least, reference=reference, log=log)
        super().__init__(cost, example_inputs=example_inputs)
        _check_batch_size(batch_size)
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

    @override
    def measure(self, module: torch.nn.Module, inputs: Any) -> float:
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


class PeakMemory(CostCallback):
    """The most bytes held at once in a forward pass, or a forward and backward pass. Measured; see `measure.memory`.

    Logged as ``memory_cpu``, ``memory_cuda``, … (``memory`` for ``"auto"``).

    Args:
        device: Where to measure, whatever the module is trained on; ``"auto"`` is the accelerator where there is one,
            else the CPU.
        batch_size: Samples in the batch; None for the inputs as they are, whatever they hold.
        example_inputs: See `CostCallback`.
        training: With the backward pass.
        at_most: Configurations that need more, in bytes, are rejected.
        at_least: Configurations that need less, in bytes, are rejected.
        reference: Coordinate of the hypervolume's reference point, in bytes.
        log: Whether it is searched on a logarithmic scale, on which a value of zero has no place: a trial that has one
            fails then.
        name: Name of the objective.

    Raises:
        InvalidArgumentError: For a batch size out of range.
    """

    cuts_inputs = True

    def __init__(
        self,
        device: str = "auto",
        *,
        batch_size: int | None = 1,
        example_inputs: Any = None,
        training: bool = False,
        at_most: float | None = None,
        at_least: float | None = None,
        reference: float | None = None,
        log: bool = True,
        name: str | None = None,
    ) -> None:
        name = _name_on(device, "memory") if name is None else name
        cost = _cost(Kind.MEASURED, name, at_most=at_most, at_least=at_least, reference=reference, log=log)
        super().__init__(cost, example_inputs=example_inputs)
        _check_batch_size(batch_size)
        self.device = str(device)
        self.batch_size = batch_size
        self.training = check_bool("training", training)
        self._measured_on: Place = {}

    @override
    def measure(self, module: torch.nn.Module, inputs: Any) -> float:
        value = peak_memory(module, inputs, device=self.device, batch_size=self.batch_size, training=self.training)
        self._measured_on = {**self.place(), "dtype": dtype_name(dtype_of(module, inputs))}
        return float(value)

    @property
    @override
    def measured_on(self) -> Place:
        return self._measured_on

    @override
    def place(self) -> Place:
        device = resolve_device(self.device)
        # Elsewhere than on CUDA devices tensors are counted, which is the same on every machine.
        hardware = {"hardware": device_name(device)} if device.type == "cuda" else {}
        return {**hardware, "device": device.type, "batch_size": batch_name(self.batch_size)}


def _cost(
    kind: Kind, name: str, *, at_most: float | None, at_least: float | None, reference: float | None, log: bool
) -> Objective:
    return Objective(name=name, kind=kind, log=log, at_most=at_most, at_least=at_least, reference=reference)


def _check_batch_size(batch_size: int | None) -> None:
    if batch_size is not None:
        check_whole("batch_size", batch_size, least=1)


def _name_on(device: object, what: str) -> str:
    if not isinstance(device, torch.device):
        check_text("device", device)
    kind = str(device).partition(":")[0]
    return what if kind == "auto" else f"{what}_{kind}"
