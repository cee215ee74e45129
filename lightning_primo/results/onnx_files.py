"""Trained modules as ONNX files, for any batch size."""

from __future__ import annotations

import importlib.util
import io
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lightning_primo.checks import printable_lines
from lightning_primo.errors import (
    CheckpointError,
    NotMeasurableError,
    OnnxSkippedWarning,
    PrimoError,
    StorageError,
    first_line,
)
from lightning_primo.factory import Factory
from lightning_primo.measure.inputs import REMEDY, Sample, cut_batch, map_tensors, tensors
from lightning_primo.objectives.example_inputs import example_inputs, given_inputs
from lightning_primo.results.loading import load_module
from lightning_primo.results.onnx_trace import trace_onnx
from lightning_primo.results.trial_result import TrialResult
from lightning_primo.training.job import build_data
from lightning_primo.training.process_state import process_kept

FILE_NAME = "model.onnx"

_PACKAGES = ("onnx", "onnxscript")
_LARGEST_FILE = 2**31 - 2**24  # bytes that fit into one file beside the graph; beyond, weights lie in a second one
_SAMPLES = 2  # a batch of one is taken for a size that never changes


def check_onnx() -> None:
    """Raise a PrimoError that names the extra if the packages that write ONNX are missing."""
    missing = [name for name in _PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise PrimoError(
            f"the export to ONNX needs the packages {' and '.join(map(repr, missing))}: install the extra 'onnx', "
            "as in pip install 'lightning-primo[onnx]'"
        )


def onnx_writer(directory: Path, build: Factory, *, seed: int) -> Callable[[TrialResult, Path], None]:
    """What writes the trained module of a trial into a folder, as ``model.onnx``.

    Args:
        directory: The search's directory.
        build: How modules and data are built.
        seed: The search's, for the data that a module without `example_input_array` is called with.

    Returns:
        A function of the trial and the folder. Where the module cannot be built or exported, it writes nothing and
        gives an OnnxSkippedWarning that names the trial; it raises a CheckpointError if there are no weights.

    Raises:
        PrimoError: If the extra is not installed.
    """
    check_onnx()

    def write(trial: TrialResult, folder: Path) -> None:
        try:
            module = load_module(directory, trial, build)
            with process_kept():  # the data are drawn from the global generators
                if build.example_inputs is not None:
                    inputs = given_inputs(build.example_inputs, trial.config)
                else:
                    inputs = example_inputs(module, build_data(build, trial.config, seed))
            inputs = inputs.inputs if isinstance(inputs, Sample) else inputs
            write_onnx(module, inputs, folder / FILE_NAME)
        except (CheckpointError, StorageError):
            raise
        except Exception as error:  # ours, or of the user's code
            kind = "" if isinstance(error, PrimoError) else f"{type(error).__name__}: "
            warnings.warn(
                f"trial {trial.id} is exported without {FILE_NAME}: {kind}{printable_lines(str(error))}",
                OnnxSkippedWarning,
                stacklevel=2,
            )

    return write


def write_onnx(module: nn.Module, inputs: Any, path: Path) -> None:
    """Write a module as an ONNX file whose batch dimension may have any size.

    What torch.export does not take is traced, see `trace_onnx`.

    Args:
        module: On the CPU, in evaluation mode.
        inputs: As for `measure.call`, of any batch size. Which dimensions are the batch's is found as in
            `measure.inputs.cut_batch`: the first one of every tensor where it is as large as that of the first tensor.
        path: Of the file. Weights of more than 2 GB are written beside it.

    Raises:
        PrimoError: If torch cannot export the module.
    """
    _require_batch(inputs)
    batch = torch.export.Dim("batch")
    size = next(tensor.shape[0] for tensor in tensors(inputs) if tensor.ndim > 0)

    def sizes(leaf: Any) -> dict[int, Any] | None:
        varies = isinstance(leaf, Tensor) and leaf.ndim > 0 and leaf.shape[0] == size
        return {0: batch} if varies else None

    dynamic = map_tensors(sizes, inputs, leaf=lambda item: not isinstance(item, (Mapping, list, tuple)))
    inputs = cut_batch(inputs, _SAMPLES)
    named = isinstance(inputs, Mapping)
    in_order = isinstance(inputs, tuple) or named
    weights = sum(tensor.nbytes for tensor in (*module.parameters(), *module.buffers()))
    external = weights > _LARGEST_FILE
    try:
        with process_kept(), _quiet(), torch.no_grad():
            torch.onnx.export(
                module,
                () if named else inputs if in_order else (inputs,),
                path,
                kwargs=dict(inputs) if named else None,
                dynamic_shapes=dynamic if in_order else (dynamic,),
                dynamo=True,
                external_data=external,
                verbose=False,
            )
    except Exception as error:  # of the exporter, of a dozen kinds
        try:
            with process_kept(), _quiet(), torch.no_grad():
                trace_onnx(module, inputs, path, external_data=external)
        except Exception as traced:
            for left in path.parent.glob(f"{path.name}*"):  # which computes something else
                left.unlink()
            raise PrimoError(
                f"torch.onnx cannot export {type(module).__name__} with a batch dimension of any size "
                f"({_cause(error)}; traced: {_cause(traced)}); its forward must be one that torch.export.export takes, "
                "without branches on the values of tensors and without the batch size as a fixed number"
            ) from error


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
