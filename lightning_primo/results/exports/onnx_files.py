"""Trained modules of a search as ONNX files."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

from lightning_primo.checks import printable_lines
from lightning_primo.errors import CheckpointError, OnnxSkippedWarning, PrimoError, StorageError
from lightning_primo.factory import Factory
from lightning_primo.measure.inputs import Sample
from lightning_primo.objectives.example_inputs import example_inputs, given_inputs
from lightning_primo.results.loading import load_module
from lightning_primo.results.trial_result import TrialResult
from lightning_primo.runtimes.onnx_export import check_onnx, write_onnx
from lightning_primo.training.job import build_data
from lightning_primo.training.process_state import process_kept

FILE_NAME = "model.onnx"


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
            with process_kept():
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
