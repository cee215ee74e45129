"""The seconds of a forward pass as an objective."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from typing_extensions import override

from lightning_primo.checks import check_instance
from lightning_primo.errors import InvalidArgumentError
from lightning_primo.measure.latency import LatencyMeasurement
from lightning_primo.objectives.bench_cost import BenchCost
from lightning_primo.objectives.benches.bench import LocalBench
from lightning_primo.objectives.benches.served_bench import ServedLatencyBench, served_device
from lightning_primo.objectives.cost_arguments import check_batch_size, cost_objective, name_on
from lightning_primo.problem.objective import Kind
from lightning_primo.runtimes import runtime_of
from lightning_primo.runtimes.eager import Eager
from lightning_primo.runtimes.onnx_runtime import OnnxRuntime
from lightning_primo.runtimes.runtime import Runtime
from lightning_primo.serving import ServedDevice
from lightning_primo.timing import RoundRobin
from lightning_primo.timing.timer import MAX_SECONDS, PRECISION, check_timing


class Latency(BenchCost[LatencyMeasurement]):
    """Seconds of a forward pass: the median over many calls. Measured, with nothing of this user's beside it.

    Logged as ``latency_cpu``, ``latency_cuda``, … (``latency`` for ``"auto"``) together with the interquartile range
    over the calls, ``latency_cpu_iqr``, and the standard deviation of the measurement, ``latency_cpu_spread``. In a
    search this spread is known to the models, and the front is measured again in the end. Of another runtime than
    `Eager` the seconds of exporting, compiling and loading are logged beside it, ``latency_cpu_preparation``.

    In a search a network is measured once: configurations that differ in how it is trained alone share the value, and
    have a 1 at ``latency_cpu_reused``. See `RememberedBench`.

    Args:
        device: Where to measure, whatever the module is trained on. ``"auto"`` is the accelerator where there is one,
            else the CPU.
        batch_size: Samples per call; None for the inputs as they are, whatever they hold.
        runtime: What computes, such as `OnnxRuntime()`; default: PyTorch as it is, `Eager()`. A module that it cannot
            take fails its trial with a NotDeployableError, one whose outputs are off too. `FirstOf` has a fallback.
        on: The device that measures, on which ``lightning-primo serve`` runs: its address such as
            ``"http://pi:8765"`` or ``"ssh://user@pi"``, or a `ServedDevice`. It is sent an ONNX file, and `runtime` is
            `OnnxRuntime()` by default; ``"auto"`` is its CPU, and the threads are as many as it has cores. If there is
            no bound, this machine trains meanwhile. Default: this machine measures.
        example_inputs: See `CostCallback`.
        dtype: Cast weights and inputs to this floating-point type, in `Eager` or `Compiled`; default: as they are.
        threads: CPU threads within an operator; default: as set in the process that makes a search's first measurement.
        precision: Standard error of the median that is wanted, relative to it: calls are timed until then.
        max_seconds: When to stop all the same.
        at_most: Configurations that take longer, in seconds, are rejected.
        at_least: Configurations that take less, in seconds, are rejected.
        reference: Coordinate of the hypervolume's reference point, in seconds.
        log: Whether it is searched on a logarithmic scale, on which a value of zero has no place: a trial that has one
            fails then.
        name: Name of the objective; to be given where two latencies on the same kind of device are wanted.

    Attributes:
        bench: Where, and in which runtime, it is measured.
        measurement: The last measurement in full: spread, hardware, batch size, type, threads. None before the first,
            and in processes other than rank zero.

    Raises:
        InvalidArgumentError: For a batch size, thread number, type, precision or time out of range, or no runtime.
            Whether there is such a device is known only where it is measured.
    """

    def __init__(
        self,
        device: str = "auto",
        *,
        batch_size: int | None = 1,
        runtime: Runtime | None = None,
        on: str | ServedDevice | None = None,
        example_inputs: Any = None,
        dtype: torch.dtype | None = None,
        threads: int | None = None,
        precision: float = PRECISION,
        max_seconds: float = MAX_SECONDS,
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
        check_timing(precision=precision, max_seconds=max_seconds)
        self.batch_size = batch_size
        default = Eager if on is None else OnnxRuntime
        runtime = check_instance("runtime", runtime, Runtime, example="OnnxRuntime()", default=default)
        if on is None:
            self.bench = LocalBench(str(device), runtime, dtype, threads, precision, max_seconds)
        else:
            self.bench = ServedLatencyBench(
                served_device(on), str(device), runtime, threads, dtype, precision, max_seconds
            )

    @classmethod
    def described(cls, name: str, settings: Mapping[str, Any]) -> Latency:
        """A latency on this machine that measures as one with these `settings`.

        Args:
            name: The objective's.
            settings: As `settings` gives them, as JSON values; more entries are passed over. Inputs and how long to
                measure are not among them.

        Raises:
            InvalidArgumentError: If another device has measured, whose address is in no log.
        """
        if "device" not in settings:
            raise InvalidArgumentError(
                f"{name!r} was measured on a device that serves measurements, and its address is not kept; measure "
                "from Python, by the search that was made: Search(...).result().remeasure()"
            )
        dtype = settings.get("dtype")
        return cls(
            settings["device"],
            batch_size=settings.get("batch_size"),
            runtime=runtime_of(settings["runtime"]) if "runtime" in settings else None,
            dtype=None if dtype is None else getattr(torch, dtype.removeprefix("torch.")),
            threads=settings.get("threads"),
            name=name,
        )

    def measure_in_turn(self, cases: Sequence[tuple[torch.nn.Module, Any]], *, seconds: float) -> RoundRobin:
        """Measure several modules in turn, so that it is known which is quicker; see `Bench.measure_in_turn`.

        Args:
            cases: Modules, each with its inputs, as for `measure`; one at least.
            seconds: Of calls of each; on another device, and in `Compiled`, it is ten whole measurements of each.
        """
        return self.bench.measure_in_turn(cases, batch_size=self.batch_size, seconds=seconds)

    @override
    def logs(self) -> Mapping[str, float]:
        logs = dict(super().logs())
        if self.measurement is not None:
            logs[f"{self.objective.name}_iqr"] = self.measurement.iqr
        return logs
