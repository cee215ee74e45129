"""All costs of one module at once: parameters, multiply-adds, and latency and memory by device and batch size."""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import nn

from lightning_primo.checks import check_whole
from lightning_primo.errors import NotMeasurableError
from lightning_primo.measure.devices import batch_name, device_name, resolve_device
from lightning_primo.measure.flops import count_flops
from lightning_primo.measure.inputs import first_sample
from lightning_primo.measure.latency import LatencyMeasurement, measure_latency
from lightning_primo.measure.memory import peak_memory
from lightning_primo.measure.parameters import parameter_count


@dataclass(frozen=True, kw_only=True)
class BatchProfile:
    """What batches of one size cost on one device; None where it could not be measured.

    Args:
        device: ``"cpu"``, ``"cuda:0"``, …
        hardware: Model of the device.
        batch_size: Samples in the batch; None for the inputs as they are.
        latency: Of a forward pass.
        inference_memory: Peak of a forward pass, in bytes; see `peak_memory`.
        training_memory: Peak of a forward and a backward pass, in bytes.
        failures: Why, by the name of the field that is None.
    """

    device: str
    hardware: str
    batch_size: int | None
    latency: LatencyMeasurement | None
    inference_memory: int | None
    training_memory: int | None
    failures: dict[str, str]


@dataclass(frozen=True, kw_only=True)
class ModuleProfile:
    """What a module costs.

    Args:
        module: Name of its class.
        parameters: All of them.
        trainable_parameters: Those that require a gradient.
        flops: Multiply-adds of a forward pass for one sample, or for the inputs as they are if all batches are that;
            None where they could not be counted.
        batches: By device and batch size.
        failures: Why, by the name of the field that is None.
    """

    module: str
    parameters: int
    trainable_parameters: int
    flops: int | None
    batches: tuple[BatchProfile, ...]
    failures: dict[str, str]

    @property
    def all_failures(self) -> list[str]:
        """Why anything could not be measured, each reason once."""
        parts = (self.failures, *(batch.failures for batch in self.batches))
        return list(dict.fromkeys(reason for failures in parts for reason in failures.values()))

    def to_dict(self) -> dict[str, Any]:
        """Everything as nested mappings, lists, numbers and strings; seconds and bytes."""
        return asdict(self)


def profile_module(
    module: nn.Module,
    inputs: Any,
    *,
    devices: Sequence[str] = ("cpu",),
    batch_sizes: Sequence[int | None] = (1, 32),
    threads: int | None = None,
    progress: Callable[[str], None] | None = None,
) -> ModuleProfile:
    """Measure a module on several devices with batches of several sizes.

    What fails on one device or for one batch size, for want of memory or by the module itself, is left out there.

    Args:
        module: Not on the meta device; it and the random state stay as they were.
        inputs: As for `inputs.call`, of any batch size and on any device.
        devices: Where; see `devices.resolve_device`.
        batch_sizes: Samples per batch; None for the inputs as they are.
        threads: CPU threads within an operator, for the latency; default: the present setting.
        progress: Told what is measured next, such as ``"cpu, batch size 32"``.

    Raises:
        InvalidArgumentError: For a device that is not there, or a batch size or number of threads out of range.
        NotMeasurableError: If the module has lazy parameters.
    """
    places = [resolve_device(device) for device in devices]
    for size in batch_sizes:
        if size is not None:
            check_whole("batch_size", size, least=1)
    if threads is not None:
        check_whole("threads", threads, least=1)
    failures: dict[str, str] = {}
    parameters, trainable = parameter_count(module, trainable_only=False), parameter_count(module)
    of_flops = None if all(size is None for size in batch_sizes) else 1
    flops = _attempt("flops", lambda: count_flops(module, first_sample(inputs, of_flops)), failures)
    batches = []
    for place in places:
        for size in batch_sizes:
            if progress is not None:
                progress(f"{place}, batch size {batch_name(size)}")
            batches.append(_profile_batch(module, inputs, place, size, threads))
    return ModuleProfile(
        module=type(module).__name__,
        parameters=parameters,
        trainable_parameters=trainable,
        flops=flops,
        batches=tuple(batches),
        failures=failures,
    )


def _profile_batch(
    module: nn.Module, inputs: Any, place: torch.device, size: int | None, threads: int | None
) -> BatchProfile:
    failures: dict[str, str] = {}

    def memory(training: bool) -> int:
        return peak_memory(module, inputs, device=place, batch_size=size, training=training)

    return BatchProfile(
        device=str(place),
        hardware=device_name(place),
        batch_size=size,
        latency=_attempt(
            "latency",
            lambda: measure_latency(module, inputs, device=place, batch_size=size, threads=threads),
            failures,
        ),
        inference_memory=_attempt("inference_memory", lambda: memory(False), failures),
        training_memory=_attempt("training_memory", lambda: memory(True), failures),
        failures=failures,
    )


def _attempt(name: str, measure: Callable[[], Any], failures: dict[str, str]) -> Any:
    """What `measure` returns; None if that fails, and why under `name` in `failures`."""
    try:
        return measure()
    except (NotMeasurableError, RuntimeError, MemoryError) as error:
        exhausted = _is_out_of_memory(error)
        failures[name] = "out of memory" if exhausted else f"{type(error).__name__}: {error}"
    if exhausted:  # only here, where the error is gone and with it what its frames held, can its memory be freed
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
    return None


def _is_out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out; torch has no type of its own for that of the CPU."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    if isinstance(error, NotMeasurableError):
        return error.__cause__ is not None and _is_out_of_memory(error.__cause__)
    return isinstance(error, RuntimeError) and "allocate memory" in str(error)
