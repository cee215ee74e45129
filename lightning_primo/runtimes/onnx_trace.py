"""ONNX files by tracing, for modules that torch.export does not take; what was traced is checked by computing with it.

A trace keeps the way that one batch took. So it is refused where Python read a value or a size of a tensor, and where
the file does not compute what the module does on batches of other sizes and values.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.jit._trace import TracerWarning

from lightning_primo.errors import NotDeployableError
from lightning_primo.measure.inputs import cut_batch, map_tensors, tensors
from lightning_primo.runtimes.flat_module import FlatModule

_SIZES = (1, 3)  # of the batches that a file is checked with; a trace is made of another size
_TOLERANCE = 1e-3  # relative, and absolute in units of the largest output; single precision, other kernels


def trace_onnx(module: nn.Module, inputs: Any, path: Path, *, external_data: bool) -> None:
    """Write a module as an ONNX file by tracing it.

    Args:
        module: On the CPU, in evaluation mode.
        inputs: A batch of two samples, as for `measure.call`.
        path: Of the file.
        external_data: Whether the weights are written beside it.

    Raises:
        NotDeployableError: If the file does not compute what the module does.
        Exception: What the tracer raises.
    """
    flat = FlatModule(module, inputs).eval()  # the exporter leaves all of it in the mode that its root had
    leaves = list(tensors(inputs))
    size = next(tensor.shape[0] for tensor in leaves if tensor.ndim > 0)
    names = _names(inputs, len(leaves))
    varies = [name for name, tensor in zip(names, leaves, strict=True) if tensor.ndim > 0 and tensor.shape[0] == size]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", TracerWarning)  # Python read what may be another value next time
        TracerWarning.ignore_lib_warnings()  # type: ignore[no-untyped-call]
        torch.onnx.export(
            flat,
            tuple(leaves),
            str(path),
            dynamo=False,
            input_names=names,
            dynamic_axes={name: {0: "batch"} for name in varies},
            external_data=external_data,
            verbose=False,
        )
        for n in _SIZES:
            for given in (cut_batch(inputs, n), _disturbed(cut_batch(inputs, n))):
                _check(path, flat, dict(zip(names, tensors(given), strict=True)))


def _names(inputs: Any, count: int) -> list[str]:
    plain = isinstance(inputs, Mapping) and all(isinstance(value, Tensor) for value in inputs.values())
    return list(map(str, inputs)) if plain else [f"input_{i}" for i in range(count)]


def _disturbed(inputs: Any) -> Any:
    """The inputs with their numbers turned over, so that the samples of a batch differ."""
    generator = torch.Generator().manual_seed(0)

    def disturb(tensor: Tensor) -> Tensor:
        if not tensor.is_floating_point():
            return tensor
        return -tensor * torch.rand(tensor.shape, generator=generator).to(tensor.dtype)

    return map_tensors(disturb, inputs)


def _check(path: Path, module: nn.Module, inputs: Mapping[str, Tensor]) -> None:
    from onnx.reference import ReferenceEvaluator

    evaluator = ReferenceEvaluator(str(path))
    known = set(evaluator.input_names)  # what the module does not use is no input of the file
    found = evaluator.run(None, {name: tensor.numpy() for name, tensor in inputs.items() if name in known})
    expected = [tensor.numpy() for tensor in module(*inputs.values())]
    for one, other in zip(found, expected, strict=True):
        scale = float(np.abs(other).max(initial=0.0))
        if one.shape != other.shape or not np.allclose(one, other, rtol=_TOLERANCE, atol=_TOLERANCE * max(scale, 1e-6)):
            size = next(tensor.shape[0] for tensor in inputs.values() if tensor.ndim > 0)
            raise NotDeployableError(f"the traced file computes something else for a batch of {size}")
