"""Modules as ONNX files, for any batch size."""

from __future__ import annotations

import inspect
import io
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lightning_primo.errors import NotDeployableError, NotMeasurableError, first_line
from lightning_primo.measure.inputs import REMEDY, cut_batch, map_tensors, tensors, to_device
from lightning_primo.measure.isolation import isolated, placed, rng_kept
from lightning_primo.runtimes.artefact import Artefact, TensorSpec
from lightning_primo.runtimes.onnx_trace import trace_onnx
from lightning_primo.runtimes.packages import require

_LARGEST_FILE = 2**31 - 2**24  # bytes that fit into one file beside the graph; beyond, weights lie in a second one
_SAMPLES = 2  # a batch of one is taken for a size that never changes


def check_onnx() -> None:
    """Raise a RuntimeMissingError that names the extra if the packages that write ONNX are missing."""
    require("the export to ONNX", "onnx", "onnx", "onnxscript")


def export_onnx(module: nn.Module, inputs: Any, path: Path) -> Artefact:
    """Write a module as an ONNX file, for batches of any size where it can be, else for `inputs` as they are.

    Args:
        module: On any device and in any mode; it stays as it is.
        inputs: As for `measure.call`, on any device.
        path: Of the file.

    Raises:
        NotDeployableError: If torch cannot export the module.
        RuntimeMissingError: If the extra is not installed.
    """
    check_onnx()
    module, inputs = placed(module, device=torch.device("cpu")), to_device(inputs, "cpu")
    try:
        with isolated(module):
            write_onnx(module, inputs, path)
    except (NotDeployableError, NotMeasurableError) as error:
        with isolated(module):  # anew: what failed may have changed buffers
            _write_as_it_is(module, inputs, path, error)
    return onnx_artefact(path)


def onnx_artefact(path: Path) -> Artefact:
    """The artefact of an ONNX file."""
    import onnx

    graph = onnx.load(str(path), load_external_data=False).graph
    weights = {weight.name for weight in graph.initializer}
    inputs = [_spec(value) for value in graph.input if value.name not in weights]
    return Artefact.of_files(path, "onnx", inputs=inputs, outputs=[_spec(value) for value in graph.output])


def _spec(value: Any) -> TensorSpec:
    import onnx

    kind = value.type.tensor_type
    shape = tuple(size.dim_value if size.HasField("dim_value") else None for size in kind.shape.dim)
    return TensorSpec(name=value.name, shape=shape, dtype=str(onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type)))


def _write_as_it_is(module: nn.Module, inputs: Any, path: Path, reason: Exception) -> None:
    """Write a module for the very shapes of `inputs`; raise as for `reason` where that fails too."""
    named = isinstance(inputs, Mapping)
    try:
        with rng_kept(), _quiet(), torch.no_grad():
            torch.onnx.export(
                module,
                () if named else inputs if isinstance(inputs, tuple) else (inputs,),
                path,
                kwargs=dict(inputs) if named else None,
                dynamo=True,
                external_data=_is_large(module),
                verbose=False,
            )
    except Exception as error:  # of the exporter, of a dozen kinds
        _remove(path)
        raise NotDeployableError(f"{reason}; for these very inputs: {_cause(error)}") from error


def write_onnx(module: nn.Module, inputs: Any, path: Path) -> None:
    """Write a module as an ONNX file whose batch dimension may have any size.

    What torch.export does not take is traced, see `trace_onnx`.

    Args:
        module: On the CPU, in evaluation mode.
        inputs: As for `measure.call`, of any batch size. Which dimensions are the batch's is found as in
            `measure.inputs.cut_batch`: the first one of every tensor where it is as large as that of the first tensor.
        path: Of the file. Weights of more than 2 GB are written beside it.

    Raises:
        NotDeployableError: If torch cannot export the module.
    """
    _require_batch(inputs)
    batch = torch.export.Dim("batch")
    size = next(tensor.shape[0] for tensor in tensors(inputs) if tensor.ndim > 0)

    def sizes(leaf: Any) -> dict[int, Any] | None:
        varies = isinstance(leaf, Tensor) and leaf.ndim > 0 and leaf.shape[0] == size
        return {0: batch} if varies else None

    varying = map_tensors(sizes, inputs, leaf=lambda item: not isinstance(item, (Mapping, list, tuple)))
    inputs = cut_batch(inputs, _SAMPLES)
    named = isinstance(inputs, Mapping)
    in_order = isinstance(inputs, tuple) or named
    external = _is_large(module)
    try:
        with rng_kept(), _quiet(), torch.no_grad():
            torch.onnx.export(
                module,
                () if named else inputs if in_order else (inputs,),
                path,
                kwargs=dict(inputs) if named else None,
                dynamic_shapes=_by_parameter(module, varying if in_order else (varying,)),
                dynamo=True,
                external_data=external,
                verbose=False,
            )
        _require_any_size(path)
    except Exception as error:  # of the exporter, of a dozen kinds
        try:
            with rng_kept(), _quiet(), torch.no_grad():
                trace_onnx(module, inputs, path, external_data=external)
        except Exception as traced:
            _remove(path)  # which computes something else
            raise NotDeployableError(
                f"torch.onnx cannot export {type(module).__name__} with a batch dimension of any size "
                f"({_cause(error)}; traced: {_cause(traced)}); its forward must be one that torch.export.export takes, "
                "without branches on the values of tensors and without the batch size as a fixed number"
            ) from error


def _require_any_size(path: Path) -> None:
    """Raise if a file has the batch size as a fixed number all the same, as of a loop over the samples."""
    if all(spec.shape[:1] != (None,) for spec in onnx_artefact(path).inputs):
        raise NotDeployableError(
            "the export is for batches of one size alone, as of a forward with a loop over the samples; compute with "
            "the whole batch at once"
        )


def _by_parameter(module: nn.Module, passed: Any) -> dict[str, Any]:
    """What is passed, by the parameters of the module's forward: those that end in ``*args`` are one tuple."""
    signature = inspect.signature(module.forward)
    bound = signature.bind(**passed) if isinstance(passed, Mapping) else signature.bind(*passed)
    return dict(bound.arguments)


def _is_large(module: nn.Module) -> bool:
    return sum(tensor.nbytes for tensor in (*module.parameters(), *module.buffers())) > _LARGEST_FILE


def _remove(path: Path) -> None:
    for left in path.parent.glob(f"{path.name}*"):
        left.unlink()


def _cause(error: Exception) -> str:
    cause = error.__cause__ or error
    return f"{type(cause).__name__}: {first_line(str(cause))}"


def _require_batch(inputs: Any) -> None:
    if all(tensor.ndim == 0 for tensor in tensors(inputs)):
        raise NotMeasurableError(f"there is no tensor with a batch dimension among the inputs; {REMEDY}")


@contextmanager
def _quiet() -> Iterator[None]:
    """Without torch's pages about a failed export, of which the error says the essential line."""
    before = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            yield
    finally:
        logging.disable(before)
