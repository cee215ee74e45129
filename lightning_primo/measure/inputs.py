"""What a module is called with: taken out of a batch, cut to a number of samples, moved to a device.

The convention is Lightning's for `example_input_array`: a tuple holds positional arguments, a dict keyword arguments,
anything else is the only argument.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

import torch
from torch import Tensor, nn

from lightning_primo.checks import check_whole
from lightning_primo.errors import NotMeasurableError
from lightning_primo.measure.held_tensors import held_tensors
from lightning_primo.measure.signatures import attributes_for, binds, takes_batch

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
    if _foreign(inputs) is not None or any(tensor.ndim > 0 and tensor.shape[0] != 1 for tensor in tensors(inputs)):
        return Sample(inputs)
    return inputs


def model_inputs(batch: Any, module: nn.Module | None = None) -> Any:
    """The inputs among what a DataLoader yields, by convention.

    Args:
        batch: A tensor is the input itself; of a tuple or list the first element is; of a dict those entries are that
            `module.forward` names as arguments (all of them if it takes ``**kwargs`` or `module` is None), so
            that ``{"input_ids": …, "labels": …}`` feeds ``forward(self, input_ids)``. One that takes a whole batch, as
            ``forward(self, batch)`` and ``forward(self, inputs: dict[str, Tensor])`` do, gets the dict. A named tuple
            or an object of a dataclass counts as a dict where its fields are all that `module.forward` requires, and
            another object with such attributes, as a graph of PyTorch Geometric, where that takes several arguments.
        module: The module that is to be called; read only where the inputs are a dict or list, or have names.

    Returns:
        Inputs for `call`.

    Raises:
        NotMeasurableError: For an empty batch, or a dict without an entry that `module.forward` takes.
    """
    if isinstance(batch, Mapping):
        return _accepted(batch, module)
    named = None if module is None else _named(batch, module)
    if named is not None:
        return named
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
        return inputs if binds(signature, **inputs) or not binds(signature, inputs) else (inputs,)
    return inputs if binds(signature, inputs) or not binds(signature, *inputs) else tuple(inputs)


def manner(inputs: Any) -> str:
    """How `call` passes the inputs, for a message."""
    if isinstance(inputs, tuple):
        return f"as {len(inputs)} positional arguments" if len(inputs) != 1 else "as one positional argument"
    if isinstance(inputs, Mapping):
        return f"as the keyword arguments {', '.join(map(repr, inputs))}"
    return "as the only argument"


def _accepted(batch: Mapping[Any, Any], module: nn.Module | None) -> dict[str, Any] | tuple[dict[str, Any]]:
    if module is None:
        return dict(batch)
    parameters = inspect.signature(module.forward).parameters
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        return dict(batch)
    inputs = {key: value for key, value in batch.items() if key in parameters}
    if not inputs and parameters and takes_batch(next(iter(parameters.values()))):
        return (dict(batch),)
    if not inputs:
        raise NotMeasurableError(
            f"the batch is a dict with the keys {list(batch)}, none of which {type(module).__name__}.forward takes "
            f"(its arguments: {list(parameters)}); {REMEDY}, or name the entries like the arguments"
        )
    return inputs


def _named(batch: Any, module: nn.Module) -> dict[str, Any] | None:
    """The fields of a named tuple or dataclass that `module.forward` names; None if it takes something else."""
    if isinstance(batch, tuple) and hasattr(batch, "_fields"):
        named = dict(zip(batch._fields, batch, strict=True))
    elif _is_record(batch) and not callable(getattr(batch, "to", None)):
        named = dict(_fields(batch))
    else:
        return None if isinstance(batch, (Tensor, list)) else attributes_for(inspect.signature(module.forward), batch)
    signature = inspect.signature(module.forward)
    parameters = list(signature.parameters.values())
    if parameters and parameters[0].annotation in (type(batch), type(batch).__name__):
        return None
    inputs = {parameter.name: named[parameter.name] for parameter in parameters if parameter.name in named}
    return inputs if inputs and binds(signature, **inputs) else None


def tensors(data: Any) -> Iterator[Tensor]:
    """The tensors in nested tuples, lists, dicts and dataclasses, in order."""
    if isinstance(data, Tensor):
        yield data
    else:
        for value in _values(data):
            yield from tensors(value)


def _values(data: Any) -> list[Any]:
    """What a container holds; nothing for other objects."""
    if isinstance(data, Mapping):
        return list(data.values())
    if isinstance(data, (tuple, list)):
        return list(data)
    return [value for _, value in _fields(data)] if _is_record(data) else []


def _is_record(data: Any) -> bool:
    """Whether `data` is an object of a dataclass."""
    return is_dataclass(data) and not isinstance(data, type)


def _fields(data: Any) -> list[tuple[str, Any]]:
    return [(field.name, getattr(data, field.name)) for field in fields(data) if hasattr(data, field.name)]


def map_tensors(function: Callable[[Any], Any], data: Any, *, leaf: Callable[[Any], bool] | None = None) -> Any:
    """A copy of nested containers with `function` applied to the tensors (or to where `leaf` holds).

    Containers are tuples, lists, dicts and objects of dataclasses.
    """
    if leaf(data) if leaf else isinstance(data, Tensor):
        return function(data)
    if isinstance(data, Mapping):
        return {key: map_tensors(function, value, leaf=leaf) for key, value in data.items()}
    if isinstance(data, (tuple, list)):
        values = [map_tensors(function, value, leaf=leaf) for value in data]
        return type(data)(*values) if hasattr(data, "_fields") else type(data)(values)
    if _is_record(data):
        record = copy.copy(data)
        for name, value in _fields(data):
            object.__setattr__(record, name, map_tensors(function, value, leaf=leaf))  # of frozen ones too
        return record
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
    foreign = _foreign(inputs)
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


def _foreign(inputs: Any) -> Any:
    """What cannot be cut: an object among the inputs that goes to devices or holds tensors, and is no plain container.

    Such as a batch of graphs, or a `PackedSequence`. The inputs themselves if there is no tensor among them, and None
    if all are plain.
    """
    return _object(inputs) if any(True for _ in tensors(inputs)) else inputs


def _object(inputs: Any) -> Any:
    if isinstance(inputs, (Tensor, str, bytes, int, float, complex)) or inputs is None:
        return None
    if not isinstance(inputs, Mapping) and callable(getattr(inputs, "to", None)):
        return inputs
    if isinstance(inputs, (Mapping, tuple, list)) or _is_record(inputs):
        return next((found for found in map(_object, _values(inputs)) if found is not None), None)
    return inputs if held_tensors(inputs) else None


def _lists(inputs: Any) -> bool:
    """Whether a list among the inputs holds tensors with dimensions."""
    if isinstance(inputs, Mapping):
        return any(map(_lists, inputs.values()))
    if isinstance(inputs, list) and any(tensor.ndim > 0 for tensor in tensors(inputs)):
        return True
    return isinstance(inputs, (tuple, list)) and any(map(_lists, inputs))


def to_device(inputs: Any, device: torch.device | str, dtype: torch.dtype | None = None) -> Any:
    """The inputs on `device`, floating-point tensors cast to `dtype` if given.

    Objects other than tensors that have a method `to`, as batches of graphs do, are moved by it. Many change what they
    hold and return themselves, or nothing: so it is called on copies of them, which share their tensors.

    Raises:
        NotMeasurableError: If such an object cannot be copied.
    """

    def move(item: Any) -> Any:
        if not isinstance(item, Tensor):
            shared = {id(tensor): tensor for tensor in held_tensors(item)}
            try:
                copied = copy.deepcopy(item, shared)
            except Exception as error:  # of the user's classes
                raise NotMeasurableError(
                    f"a {type(item).__name__} cannot be copied to be moved to {device} ({error!r}); give "
                    "'example_inputs' without what cannot be"
                ) from error
            moved = copied.to(device)
            return copied if moved is None else moved  # as Lightning does it
        return item.to(device, dtype if item.is_floating_point() else None)

    return map_tensors(move, inputs, leaf=lambda item: isinstance(item, Tensor) or callable(getattr(item, "to", None)))
