"""What a module is called with: taken out of a batch, cut to a number of samples, moved to a device.

The convention is Lightning's for `example_input_array`: a tuple holds positional arguments, a dict keyword arguments,
anything else is the only argument.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from lightning_primo.checks import check_whole
from lightning_primo.errors import NotMeasurableError

REMEDY = "set 'example_input_array' of the LightningModule to the inputs of its forward, or give 'example_inputs'"


def call(module: nn.Module, inputs: Any) -> Any:
    """The outputs of `module(*inputs)` for a tuple, `module(**inputs)` for a dict, else of `module(inputs)`."""
    if isinstance(inputs, tuple):
        return module(*inputs)
    if isinstance(inputs, Mapping):
        return module(**inputs)
    return module(inputs)


@dataclass(frozen=True)
class Sample:
    """The inputs of one sample that cannot be cut or repeated along a first dimension: a graph, a ragged sequence.

    Args:
        inputs: As for `call`.
    """

    inputs: Any


def one_sample(inputs: Any) -> Any:
    """`inputs`, which were drawn as one sample, as a `Sample` where their first dimensions are not all of size 1."""
    if _movable(inputs) or any(tensor.ndim > 0 and tensor.shape[0] != 1 for tensor in tensors(inputs)):
        return Sample(inputs)
    return inputs


def model_inputs(batch: Any, module: nn.Module | None = None) -> Any:
    """The inputs among what a DataLoader yields, by convention.

    Args:
        batch: A tensor is the input itself; of a tuple or list the first element is; of a dict those entries are that
            `module.forward` names as arguments (all of them if it takes ``**kwargs`` or `module` is None), so
            that ``{"input_ids": …, "labels": …}`` feeds ``forward(self, input_ids)``.
        module: The module that is to be called; read only where the inputs are a dict or list.

    Returns:
        Inputs for `call`.

    Raises:
        NotMeasurableError: For an empty batch, or a dict without an entry that `module.forward` takes.
    """
    if isinstance(batch, Mapping):
        return _accepted(batch, module)
    if isinstance(batch, (tuple, list)):
        if not batch:
            raise NotMeasurableError(f"the batch is an empty {type(batch).__name__}, so it holds no inputs; {REMEDY}")
        return _spread(batch[0], module)
    return batch


def _spread(inputs: Any, module: nn.Module | None) -> Any:
    """A dict as keyword arguments and a list as positional ones if `module.forward` takes them so, else as one."""
    if module is None or not isinstance(inputs, (Mapping, list)):
        return inputs
    signature = inspect.signature(module.forward)
    if isinstance(inputs, Mapping):
        return inputs if _binds(signature, **inputs) or not _binds(signature, inputs) else (inputs,)
    return inputs if _binds(signature, inputs) or not _binds(signature, *inputs) else tuple(inputs)


def _binds(signature: inspect.Signature, *args: Any, **kwargs: Any) -> bool:
    try:
        signature.bind(*args, **kwargs)
    except TypeError:
        return False
    return True


def manner(inputs: Any) -> str:
    """How `call` passes the inputs, for a message."""
    if isinstance(inputs, tuple):
        return f"as {len(inputs)} positional arguments" if len(inputs) != 1 else "as one positional argument"
    if isinstance(inputs, Mapping):
        return f"as the keyword arguments {', '.join(map(repr, inputs))}"
    return "as the only argument"


def _accepted(batch: Mapping[Any, Any], module: nn.Module | None) -> dict[str, Any]:
    if module is None:
        return dict(batch)
    parameters = inspect.signature(module.forward).parameters
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        return dict(batch)
    inputs = {key: value for key, value in batch.items() if key in parameters}
    if not inputs:
        raise NotMeasurableError(
            f"the batch is a dict with the keys {list(batch)}, none of which {type(module).__name__}.forward takes "
            f"(its arguments: {list(parameters)}); {REMEDY}, or name the entries like the arguments"
        )
    return inputs


def tensors(data: Any) -> Iterator[Tensor]:
    """The tensors in nested tuples, lists and dicts, in order."""
    if isinstance(data, Tensor):
        yield data
    elif isinstance(data, Mapping):
        for value in data.values():
            yield from tensors(value)
    elif isinstance(data, (tuple, list)):
        for value in data:
            yield from tensors(value)


def map_tensors(function: Callable[[Any], Any], data: Any, *, leaf: Callable[[Any], bool] | None = None) -> Any:
    """A copy of nested tuples, lists and dicts with `function` applied to the tensors (or to where `leaf` holds)."""
    if leaf(data) if leaf else isinstance(data, Tensor):
        return function(data)
    if isinstance(data, Mapping):
        return {key: map_tensors(function, value, leaf=leaf) for key, value in data.items()}
    if isinstance(data, (tuple, list)):
        values = [map_tensors(function, value, leaf=leaf) for value in data]
        return type(data)(*values) if hasattr(data, "_fields") else type(data)(values)
    return data


def first_sample(inputs: Any, n: int | None = 1) -> Any:
    """A batch of `n` samples: the first ones of `inputs`, repeated from the start where there are fewer.

    Args:
        inputs: Tensors in nested tuples, lists and dicts, or a `Sample`. The size of the first dimension of all tensors
            that have dimensions is the batch size `N`; everything else (scalars, other objects) is passed on unchanged.
        n: Samples wanted, at least 1; None for the inputs as they are.

    Returns:
        The same structure, the cut tensors being new ones of shape `n x …`.

    Raises:
        InvalidArgumentError: If `n` is not a positive integer.
        NotMeasurableError: If the batch is empty, or it is not known where a sample ends: for tensors of different
            first dimensions, a list of several samples, or batches that are no tensors, unless there are `n`.
    """
    if n is not None:
        check_whole("n", n, least=1)
    if isinstance(inputs, Sample):
        if n in (None, 1):
            return inputs.inputs
        raise NotMeasurableError(f"a batch of {n} samples cannot be made of one: its inputs {_NO_BATCH}")
    if n is None:
        return inputs
    sizes = [tensor.shape[0] for tensor in tensors(inputs) if tensor.ndim > 0]
    size = sizes[0] if sizes else None
    if size == 0:
        raise NotMeasurableError(f"the first tensor among the inputs has a batch dimension of size 0; {REMEDY}")
    foreign = _movable(inputs)
    if foreign is not None:
        raise NotMeasurableError(f"a {type(foreign).__name__} cannot be cut to {n} samples: the inputs {_NO_BATCH}")
    if size != n and len(set(sizes)) > 1:
        raise NotMeasurableError(f"inputs with first dimensions of {sizes} {_NO_BATCH}")
    if size not in (None, 1, n) and _lists(inputs):
        raise NotMeasurableError(f"a list among the inputs, with tensors of first dimension {size}, {_NO_BATCH}")

    return cut_batch(inputs, n)


def cut_batch(inputs: Any, n: int) -> Any:
    """`inputs` with `n` samples, where all tensors have a batch dimension that have one as large as the first tensor.

    Args:
        inputs: Tensors in nested tuples, lists and dicts; others than these are passed on unchanged.
        n: Samples wanted, at least 1.
    """
    size = next((tensor.shape[0] for tensor in tensors(inputs) if tensor.ndim > 0), None)

    def cut(tensor: Tensor) -> Tensor:
        if size is None or tensor.ndim == 0 or tensor.shape[0] != size:
            return tensor
        repeats = -(-n // size)
        return tensor[:n].clone() if repeats == 1 else torch.cat([tensor] * repeats)[:n].clone()

    return map_tensors(cut, inputs)


_NO_BATCH = (
    "may be a graph or ragged, of which no first row is a sample; give 'batch_size=None' to measure them as they are, "
    "and such inputs as you want by 'example_inputs'"
)


def _movable(inputs: Any) -> Any:
    """The first object among the inputs that is no tensor but goes to devices, as a batch of graphs; None if none."""
    if isinstance(inputs, Mapping):
        values: Any = inputs.values()
    elif isinstance(inputs, (tuple, list)):
        values = inputs
    else:
        return inputs if not isinstance(inputs, Tensor) and callable(getattr(inputs, "to", None)) else None
    return next((found for found in map(_movable, values) if found is not None), None)


def _lists(inputs: Any) -> bool:
    """Whether a list among the inputs holds tensors with dimensions."""
    if isinstance(inputs, Mapping):
        return any(map(_lists, inputs.values()))
    if isinstance(inputs, list) and any(tensor.ndim > 0 for tensor in tensors(inputs)):
        return True
    return isinstance(inputs, (tuple, list)) and any(map(_lists, inputs))


def to_device(inputs: Any, device: torch.device | str, dtype: torch.dtype | None = None) -> Any:
    """The inputs on `device`, floating-point tensors cast to `dtype` if given.

    Objects other than tensors that have a method `to`, as batches of graphs do, are moved by it.
    """

    def move(item: Any) -> Any:
        if isinstance(item, Tensor) and dtype is not None and item.is_floating_point():
            return item.to(device, dtype)
        return item.to(device)

    return map_tensors(move, inputs, leaf=lambda item: isinstance(item, Tensor) or callable(getattr(item, "to", None)))
