"""The joules of a forward pass as an objective."""

from __future__ import annotations

from typing import Any

import torch
from typing_extensions import override

from lightning_primo.checks import shown
from lightning_primo.errors import InvalidArgumentError
from lightning_primo.measure.devices import device_name, measuring_place, resolve_device
from lightning_primo.measure.energy import SECONDS, EnergyMeasurement, check_seconds, measure_energy
from lightning_primo.measure.energy_meters import EnergyMeter, meter_for
from lightning_primo.objectives.cost_arguments import check_batch_size, check_computation, cost_objective, name_on
from lightning_primo.objectives.measured_cost import MeasuredCost
from lightning_primo.problem.objective import Kind
from lightning_primo.problem.place import Place


class Energy(MeasuredCost[EnergyMeasurement]):
    """Joules of a forward pass, of the whole device while it does nothing else. Measured; see `measure.energy`.

    Logged as ``energy_cuda``, ``energy_cpu``, … (``energy`` for ``"auto"``), with the standard deviation of the
    measurement, ``energy_cuda_spread``. NVIDIA GPUs tell it (the extra ``energy``), and processors on Linux that let
    you read it.

    Args:
        device: Where to measure, whatever the module is trained on. ``"auto"`` is the accelerator where there is one,
            else the CPU.
        batch_size: Samples per call; None for the inputs as they are, whatever they hold.
        example_inputs: See `CostCallback`.
        dtype: Cast weights and inputs to this floating-point type; default: as they are.
        threads: CPU threads within an operator; default: as set in the process that makes a search's first measurement.
        seconds: Of calls that are counted.
        meter: What is read instead of the device's own meter: it has a ``name`` and counts ``joules()``, and can be
            pickled where trials run in other processes.
        at_most: Configurations that take more, in joules, are rejected.
        at_least: Configurations that take less, in joules, are rejected.
        reference: Coordinate of the hypervolume's reference point, in joules.
        log: Whether it is searched on a logarithmic scale, on which a value of zero has no place: a trial that has one
            fails then.
        name: Name of the objective.

    Attributes:
        measurement: The last measurement in full; None before the first, and in processes other than rank zero.

    Raises:
        InvalidArgumentError: For a batch size, thread number, type, time or meter that is none. Whether the device has
            a meter is known only where it is measured: before anything is trained there is a NoEnergyMeterError.
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
        seconds: float = SECONDS,
        meter: EnergyMeter | None = None,
        at_most: float | None = None,
        at_least: float | None = None,
        reference: float | None = None,
        log: bool = True,
        name: str | None = None,
    ) -> None:
        name = name_on(device, "energy") if name is None else name
        cost = cost_objective(Kind.MEASURED, name, at_most=at_most, at_least=at_least, reference=reference, log=log)
        super().__init__(cost, example_inputs=example_inputs)
        check_batch_size(batch_size)
        check_computation(threads, dtype)
        if meter is not None and not (callable(getattr(meter, "joules", None)) and hasattr(meter, "name")):
            raise InvalidArgumentError(f"'meter' must have a name and count joules(), got {shown(meter)}")
        self.device = str(device)
        self.batch_size = batch_size
        self.dtype = dtype
        self.threads = threads
        self.seconds = check_seconds(seconds)
        self.meter = meter

    @override
    def measure(self, module: torch.nn.Module, inputs: Any) -> float:
        self.measurement = measure_energy(
            module,
            inputs,
            device=self.device,
            batch_size=self.batch_size,
            dtype=self.dtype,
            threads=self.threads,
            seconds=self.seconds,
            meter=self.meter,
        )
        return self.measurement.joules

    @override
    def place(self) -> Place:
        device = resolve_device(self.device)
        threads = torch.get_num_threads() if self.threads is None else self.threads
        place = measuring_place(device.type, device_name(device), batch_size=self.batch_size, threads=threads)
        return {**place, "meter": (self.meter or meter_for(device)).name}

    @override
    def measure_as_on(self, place: Place) -> None:
        if self.threads is None and "threads" in place:
            self.threads = int(place["threads"])
