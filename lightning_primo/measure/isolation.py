"""Calling a module without leaving a trace: training modes, buffers, gradients and random state are put back."""

from __future__ import annotations

import copy
import random
import types
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parameter import UninitializedBuffer, UninitializedParameter

from lightning_primo.errors import NotMeasurableError
from lightning_primo.measure.inputs import REMEDY, manner, tensors


@contextmanager
def rng_kept(*devices: torch.device) -> Iterator[None]:
    """Put the global generators of torch, NumPy and Python back on leaving.

    Args:
        devices: Devices whose generators are kept besides the CPU's; all but CUDA devices are ignored.
    """
    # Augmentations and old code draw from NumPy's global generator.
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002
    indices = {torch.cuda.current_device() if d.index is None else d.index for d in devices if d.type == "cuda"}
    try:
        with torch.random.fork_rng(devices=sorted(indices)):
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)  # noqa: NPY002


@contextmanager
def isolated(module: nn.Module, *, training: bool = False) -> Iterator[None]:
    """Set the mode of `module`, and put everything back on leaving that a call of it changes.

    That is: the training mode of each submodule, identity and content of each buffer (running statistics of batch
    normalisation), the gradients, the gradient mode and the global generators.

    Args:
        module: The module that is called inside.
        training: Training mode and gradients, instead of evaluation mode without.
    """
    modes = [(child, child.training) for child in module.modules()]
    buffers = [
        (child, name, buffer, buffer.detach().clone())
        for child in module.modules()
        for name, buffer in child.named_buffers(recurse=False, remove_duplicate=False)
    ]
    gradients = [(parameter, parameter.grad) for parameter in module.parameters()]
    try:
        with rng_kept(*devices_of(module)), torch.set_grad_enabled(training):
            module.train(training)
            for parameter, _ in gradients:
                parameter.grad = None
            yield
    finally:
        for child, mode in modes:
            child.training = mode
        for parameter, gradient in gradients:
            parameter.grad = gradient
        with torch.no_grad():
            for child, name, buffer, content in buffers:
                buffer.copy_(content)
                setattr(child, name, buffer)


def copied(module: nn.Module, *, device: torch.device, dtype: torch.dtype | None = None) -> nn.Module:
    """A copy of `module` on `device`, its floating-point parameters and buffers cast to `dtype` if given.

    Weights are never held twice on the module's own device: the copy is made around tensors that are on `device`
    already. On ``torch.device("meta")`` nothing but the structure is copied. Functions that would go on to call the
    original raise a NotMeasurableError in the copy where they are called.

    Raises:
        NotMeasurableError: If the module cannot be copied, has such a function for a ``forward``, or lies on the meta
            device and is wanted on another.
    """
    require_initialised(module)
    _require_own_forward(module)
    if device.type != "meta" and any(tensor.is_meta for tensor in state_of(module)):
        raise NotMeasurableError(
            f"{type(module).__name__} lies on the meta device and has no weights to run with on {device}; build it "
            "on the CPU"
        )

    def moved(tensor: Tensor) -> Tensor:
        return tensor.detach().to(device, dtype if tensor.is_floating_point() else None, copy=True)

    memo: dict[int, Any] = {id(buffer): moved(buffer) for buffer in module.buffers()}
    for parameter in module.parameters():
        memo[id(parameter)] = nn.Parameter(moved(parameter), requires_grad=parameter.requires_grad)
    try:
        clone = copy.deepcopy(module, memo)
    except Exception as error:
        raise NotMeasurableError(
            f"{type(module).__name__} cannot be copied to {device} ({error!r}); keep what cannot be copied out of its "
            "attributes, or measure on the device and with the dtype that it has"
        ) from error
    _refuse_calls_of(module, clone)
    # Modules that know where they lie (LightningModule.device, packed recurrent weights) learn it from `to`.
    return clone.to(device=device, dtype=dtype)


def _require_own_forward(module: nn.Module) -> None:
    """Raise NotMeasurableError where the ``forward`` of a part is a function that holds a part of `module`.

    ``self.net.forward = lambda x: self.head(x)`` computes with the weights of the module that it was made in, whatever
    becomes of a copy.
    """
    for _, name, refused in _functions_over(module, module):
        if name == "forward":
            refused()


def _refuse_calls_of(module: nn.Module, clone: nn.Module) -> None:
    """Put functions in `clone` that raise when called in place of those that hold a part of `module`.

    A loss that is kept as ``lambda x, y: self.ce(self(x), y)`` is none of what is measured.
    """
    originals = {id(part) for part in module.modules()}
    for part, name, refused in _functions_over(module, clone):
        if id(part) not in originals:  # a class may copy itself as itself
            vars(part)[name] = refused


@dataclass(frozen=True)
class _Refused:
    """Stands for a function that would compute with the weights of another module; can be pickled, unlike most.

    Args:
        owner: The class of the module that keeps the function.
        where: The attribute, from there on.
    """

    owner: str
    where: str

    def __call__(self, *_: Any, **__: Any) -> NoReturn:
        raise NotMeasurableError(
            f"{self.owner} keeps the function {self.where!r}, which refers to the module itself, so that a copy would "
            "compute with the weights of the original; make it a method of a class"
        )


def _functions_over(module: nn.Module, holder: nn.Module) -> list[tuple[nn.Module, str, _Refused]]:
    """Attributes of the parts of `holder` that are functions which hold a part of `module`: part, name, stand-in."""
    parts = {id(part) for part in module.modules()}
    found = []
    for path, part in holder.named_modules():
        for name, value in vars(part).items():
            cells = (getattr(value, "__closure__", None) or ()) if isinstance(value, types.FunctionType) else ()
            if any(id(content) in parts for content in map(_content, cells)):
                where = ".".join(filter(None, (path, name)))
                found.append((part, name, _Refused(type(module).__name__, where)))
    return found


def _content(cell: types.CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # an empty one
        return None


def placed(module: nn.Module, *, device: torch.device, dtype: torch.dtype | None = None) -> nn.Module:
    """`module` itself if all of it lies on `device` with this `dtype`, else a copy that does.

    Raises:
        NotMeasurableError: As `copied`.
    """
    require_initialised(module)
    if all(
        tensor.device == device and (dtype is None or tensor.dtype == dtype or not tensor.is_floating_point())
        for tensor in state_of(module)
    ):
        return module
    return copied(module, device=device, dtype=dtype)


@contextmanager
def explained(module: nn.Module, inputs: Any) -> Iterator[None]:
    """Say with which inputs `module` was called when the call fails; running out of memory passes through."""
    try:
        yield
    except (torch.OutOfMemoryError, NotMeasurableError):
        raise
    except Exception as error:
        if _inherits_forward(module):
            raise NotMeasurableError(
                f"{type(module).__name__} has no forward, which is what is measured: define it as the call whose cost "
                "counts, such as that of the generator alone, or measure one that has it"
            ) from error
        shapes = ", ".join(f"{tuple(tensor.shape)} {dtype_name(tensor.dtype)}" for tensor in tensors(inputs))
        raise NotMeasurableError(
            f"calling {type(module).__name__} with {type(inputs).__name__} inputs (tensors: {shapes or 'none'}) "
            f"{manner(inputs)} to measure it failed: {type(error).__name__}: {error}. {_differentiates(error)}"
            f"{_comes_late(error, module)}If these are not what its forward takes, {REMEDY}"
        ) from error


def _differentiates(error: Exception) -> str:
    """What to say where a forward may have asked for gradients, as of an energy that forces follow from."""
    if "grad_fn" not in str(error) and "nference tensor" not in str(error):
        return ""
    return (
        "Costs are those of a forward without gradients, as of a network that is deployed: one that differentiates "
        "has no such FLOPs, latency or memory; use ParameterCount and the like, or measure a part of it alone. "
    )


def _comes_late(error: Exception, module: nn.Module) -> str:
    """What to say where a forward misses a part of its module, which a Trainer may make."""
    if not isinstance(error, AttributeError) or f"{type(module).__name__!r} object has no attribute" not in str(error):
        return ""
    return (
        "Layers must be there before a training begins: make them in the constructor, setup() or configure_model(), "
        "not in configure_optimizers() or later. "
    )


def _inherits_forward(module: nn.Module) -> bool:
    """Whether what is called is what PyTorch or Lightning has for modules that define no `forward`."""
    defined_in = str(getattr(module.forward, "__module__", ""))
    return defined_in in (nn.Module.__module__, "lightning.pytorch.core.module", "pytorch_lightning.core.module")


def require_initialised(module: nn.Module) -> None:
    """Raise NotMeasurableError if `module` has lazy parameters or buffers of which the shape is not known yet."""
    state = [*module.named_parameters(), *module.named_buffers()]
    lazy = [name for name, tensor in state if isinstance(tensor, (UninitializedParameter, UninitializedBuffer))]
    if lazy:
        raise NotMeasurableError(
            f"{type(module).__name__} has lazy parameters whose shapes are not known before a first call: "
            f"{', '.join(map(repr, lazy))}; give the layers their sizes, or call the module once where it is built"
        )


def state_of(module: nn.Module) -> list[Tensor]:
    """Parameters and buffers, shared ones once."""
    return [*module.parameters(), *module.buffers()]


def devices_of(module: nn.Module) -> set[torch.device]:
    """The devices that parameters and buffers lie on."""
    return {tensor.device for tensor in state_of(module)}


def dtype_of(module: nn.Module, inputs: Any) -> torch.dtype:
    """The type that `module` computes with: of its first floating-point parameter or buffer, else of its inputs."""
    candidates = (tensor.dtype for tensor in [*state_of(module), *tensors(inputs)] if tensor.is_floating_point())
    return next(candidates, torch.get_default_dtype())


def dtype_name(dtype: torch.dtype) -> str:
    """``"float32"`` for ``torch.float32``."""
    return str(dtype).removeprefix("torch.")
