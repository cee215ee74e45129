"""Peak memory of a forward pass, or of a training step without its optimizer."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from lightning_primo.checks import check_whole
from lightning_primo.errors import NotMeasurableError
from lightning_primo.measure.devices import resolve_device
from lightning_primo.measure.held_tensors import held_tensors
from lightning_primo.measure.inputs import call, first_sample, tensors, to_device
from lightning_primo.measure.isolation import explained, isolated, placed, state_of


def peak_memory(
    module: nn.Module,
    inputs: Any,
    *,
    device: str | torch.device = "auto",
    batch_size: int | None = 1,
    training: bool = False,
) -> int:
    """The largest number of bytes held at once while `module` works on a batch.

    Parameters, buffers and inputs are included, and so are gradients when training; optimizer state is not, nor
    is what else lies on the device. On CUDA it is what the caching allocator hands out, workspaces of libraries
    excepted that stay after a first call. Elsewhere it is counted: the storages that are alive after each operator,
    which is exact for tensors, the same on every machine, and blind to scratch memory within an operator.

    Args:
        module: Not on the meta device; run where it already is on `device`, else a copy. It and the random state stay
            as they were; on CUDA, the allocator's peak statistics are reset.
        inputs: As for `inputs.call`, of any batch size and on any device.
        device: Where to measure; see `devices.resolve_device`.
        batch_size: Samples in the batch, taken from `inputs` by `inputs.first_sample`; None for the inputs as
            they are.
        training: A forward pass in training mode and the backward pass of the sum of all outputs, instead of a forward
            pass in evaluation mode without gradients.

    Returns:
        Bytes.

    Raises:
        InvalidArgumentError: For a device that is not there or a batch size out of range.
        NotMeasurableError: If the module lies on the meta device, cannot be called with `inputs`, or has no output to
            train on.
    """
    if batch_size is not None:
        check_whole("batch_size", batch_size, least=1)
    place = resolve_device(device)
    module = placed(module, device=place)
    inputs = to_device(first_sample(inputs, batch_size), place)
    held = [*state_of(module), *held_tensors(inputs)]

    def run() -> None:
        with explained(module, inputs):
            outputs = call(module, inputs)
            if training:
                _loss(outputs).backward()  # type: ignore[no-untyped-call]

    with isolated(module, training=training):
        if place.type == "cuda":
            run()
            for parameter in module.parameters():
                parameter.grad = None
            return _storage_bytes(held) + _allocated(run, place)
        live = _LiveBytes(held)
        with live:
            run()
        return live.peak


def _allocated(run: Callable[[], None], device: torch.device) -> int:
    """Bytes that `run` allocates on a CUDA device at its peak, over what was allocated before."""
    torch.cuda.synchronize(device)
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    run()
    torch.cuda.synchronize(device)
    return int(torch.cuda.max_memory_allocated(device) - before)


def _loss(outputs: Any) -> Tensor:
    terms = [output.sum() for output in tensors(outputs) if output.requires_grad]
    if not terms:
        raise NotMeasurableError(
            "no output of the module requires a gradient, so there is no training step of which to measure the memory; "
            "use training=False, or a module with trainable parameters"
        )
    return torch.stack(terms).sum() if len(terms) > 1 else terms[0]


def _storage_bytes(held: Iterable[Tensor]) -> int:
    """Bytes of the storages behind `held`, shared ones once."""
    storages = {id(tensor.untyped_storage()): tensor.untyped_storage() for tensor in held}
    return sum(storage.nbytes() for storage in storages.values())


class _LiveBytes(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the bytes of the storages that are alive after each operator.

    A storage's Python object lives as long as the storage, so a weak reference to it tells when the memory is freed.

    Args:
        held: Tensors that are there from the start.
    """

    def __init__(self, held: Iterable[Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._alive: dict[int, weakref.ref[torch.UntypedStorage]] = {}
        self._bytes = 0
        self.peak = 0
        for tensor in held:
            self._add(tensor)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        outputs = func(*args, **(kwargs or {}))
        for tensor in tensors(outputs):
            self._add(tensor)
        return outputs

    def _add(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        key, size = id(storage), storage.nbytes()
        if key in self._alive:
            return

        def freed(_: object) -> None:
            del self._alive[key]
            self._bytes -= size

        self._alive[key] = weakref.ref(storage, freed)
        self._bytes += size
        self.peak = max(self.peak, self._bytes)
