"""The most bytes held at once in a pass as an objective."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from typing_extensions import override

from lightning_primo.checks import check_bool, check_instance
from lightning_primo.errors import InvalidArgumentError
from lightning_primo.objectives.bench_cost import BenchCost
from lightning_primo.objectives.benches.memory_bench import CountedMemoryBench, ProcessMemoryBench
from lightning_primo.objectives.benches.served_bench import ServedMemoryBench, served_device
from lightning_primo.objectives.cost_arguments import check_batch_size, cost_objective, name_on
from lightning_primo.problem.objective import Kind
from lightning_primo.runtimes.deployable_runtime import DeployableRuntime
from lightning_primo.runtimes.memory import MemoryMeasurement
from lightning_primo.runtimes.onnx_runtime import OnnxRuntime
from lightning_primo.serving import ServedDevice


class PeakMemory(BenchCost[Any]):  # of several kinds of measurements
    """The most bytes held at once in a forward pass, or a forward and backward pass. Measured.

    In PyTorch it is what `measure.peak_memory` counts: parameters, inputs and what is computed from them, the same in
    each measurement.

    Of what is deployed (`runtime`) it is the most resident memory of a process that loads the artefact and calls it
    three times, beyond what that process has with the runtime imported and no artefact: weights, inputs, the runtime's
    pools and threads, and what it takes to load, which is often the most. It is the median over three new processes;
    their
    spread is known to the models, logged as ``memory_spread``, and the front is measured again in the end. The
    bytes before, which the whole process has besides, are logged as ``memory_baseline``. In a search a network is
    measured once, see `RememberedBench`. Needs Linux.

    Logged as ``memory_cpu``, ``memory_cuda``, … (``memory`` for ``"auto"``).

    Args:
        device: Where to measure, whatever the module is trained on; ``"auto"`` is the accelerator where there is one,
            else the CPU. With `runtime` it is the CPU.
        batch_size: Samples in the batch; None for the inputs as they are, whatever they hold.
        runtime: What loads the network in processes of its own, such as `OnnxRuntime()`; default: PyTorch in this one,
            with tensors counted. A module that it cannot take fails its trial with a NotDeployableError, one whose
            outputs are off too.
        on: The device that measures, as for `Latency`, with `OnnxRuntime()` as the default `runtime`. Its system must
            be Linux; this machine's may be another one, and it trains meanwhile if there is no bound.
        example_inputs: See `CostCallback`.
        training: With the backward pass, in PyTorch.
        threads: CPU threads of `runtime` within an operator, each of which takes memory; default: as set in the process
            that makes a search's first measurement; of the device `on`, as many as it has cores.
        at_most: Configurations that need more, in bytes, are rejected.
        at_least: Configurations that need less, in bytes, are rejected.
        reference: Coordinate of the hypervolume's reference point, in bytes.
        log: Whether it is searched on a logarithmic scale, on which a value of zero has no place: a trial that has one
            fails then.
        name: Name of the objective; to be given where two on the same kind of device are wanted.

    Attributes:
        bench: Where, and in which runtime, it is measured.
        measurement: The last measurement in full. None before the first, and in processes other than rank zero.

    Raises:
        InvalidArgumentError: For a batch size or a thread number out of range; with `runtime`, for one that is given no
            file, another device than the CPU, or a training; with `on`, for a runtime that is given no ONNX file.
        RuntimeMissingError: When it is measured: if the system does not tell of the peak memory of a process.
    """

    def __init__(
        self,
        device: str = "auto",
        *,
        batch_size: int | None = 1,
        runtime: DeployableRuntime | None = None,
        on: str | ServedDevice | None = None,
        example_inputs: Any = None,
        training: bool = False,
        threads: int | None = None,
        at_most: float | None = None,
        at_least: float | None = None,
        reference: float | None = None,
        log: bool = True,
        name: str | None = None,
    ) -> None:
        name = name_on(device, "memory") if name is None else name
        cost = cost_objective(Kind.MEASURED, name, at_most=at_most, at_least=at_least, reference=reference, log=log)
        super().__init__(cost, example_inputs=example_inputs)
        check_batch_size(batch_size)
        check_bool("training", training)
        self.batch_size = batch_size
        if runtime is None and on is None:
            if threads is not None:
                raise InvalidArgumentError(
                    "'threads' is for a 'runtime', as tensors are counted whatever computes them; leave it out, or "
                    "give PeakMemory(runtime=OnnxRuntime())"
                )
            self.bench = CountedMemoryBench(str(device), training)
        else:
            _require_deployed(str(device), training)
            runtime = check_instance(
                "runtime", runtime, DeployableRuntime, example="OnnxRuntime()", default=OnnxRuntime
            )
            if on is None:
                self.bench = ProcessMemoryBench(runtime, threads)
            else:
                self.bench = ServedMemoryBench(served_device(on), str(device), runtime, threads)

    @override
    def logs(self) -> Mapping[str, float]:
        logs = dict(super().logs())
        if isinstance(self.measurement, MemoryMeasurement):
            logs[f"{self.objective.name}_baseline"] = self.measurement.baseline
        return logs


def _require_deployed(device: str, training: bool) -> None:
    """Raise unless what is asked for is there in a process that loads an artefact.

    Raises:
        InvalidArgumentError: For another device than the CPU, or a training.
    """
    if device not in ("auto", "cpu"):
        raise InvalidArgumentError(
            f"'device' must be 'cpu' with a 'runtime', got {device!r}: the resident memory of a process is that of the "
            f"machine; PeakMemory({device!r}) without a 'runtime' counts what PyTorch takes of the device"
        )
    if training:
        raise InvalidArgumentError("'training' is for PyTorch, what is deployed is not trained; leave out 'runtime'")
