"""A search in TensorBoard's HParams: one entry per trial, with its objectives."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lightning_primo.disk import storage_explained
from lightning_primo.errors import InvalidArgumentError, PrimoError
from lightning_primo.json_values import plain
from lightning_primo.problem import Problem
from lightning_primo.results.trial_result import TrialResult


def write_event_files(directory: Path, problem: Problem, trials: Sequence[TrialResult]) -> Path:
    """Write a folder of event files for each trial that has values, such as ``trial_00012``.

    The objectives are scalars over the epochs, in single precision as all of TensorBoard's; the last value of each is
    that of the trial, which HParams shows (of one that failed, what it had reached). A hyperparameter that is called
    like an objective, or ``status``, gets the prefix ``config.``.

    Args:
        directory: The folder to make.
        problem: What was searched.
        trials: The trials.

    Raises:
        PrimoError: If TensorBoard is not installed.
        InvalidArgumentError: If the folder is not empty: a second entry of each trial would be beside the first.
        StorageError: If the disk is full or cannot be written to.
    """
    if importlib.util.find_spec("tensorboard") is None:
        raise PrimoError("TensorBoard is not installed: pip install tensorboard")
    if directory.is_dir() and any(directory.iterdir()):
        raise InvalidArgumentError(f"'directory' {str(directory)!r} is not empty; choose another one, or remove it")
    shown = [trial for trial in trials if any(map(math.isfinite, trial.values.values()))]
    names = [objective.name for objective in problem.objectives]
    everything = {name: value for trial in reversed(shown) for name, value in _hyperparameters(trial, names).items()}
    with storage_explained(f"'directory' {str(directory)!r} cannot be written"):
        directory.mkdir(parents=True, exist_ok=True)
        for trial in shown:
            _write(directory / trial.folder_name, trial, names, everything)
    return directory


def _hyperparameters(trial: TrialResult, objectives: Sequence[str]) -> dict[str, Any]:
    taken = (*objectives, "status")
    config = {f"config.{name}" if name in taken else name: plain(value) for name, value in trial.config.items()}
    return {**config, "status": trial.outcome}


def _write(directory: Path, trial: TrialResult, objectives: Sequence[str], everything: Mapping[str, Any]) -> None:
    from torch.utils.tensorboard import SummaryWriter
    from torch.utils.tensorboard.summary import hparams

    entry: Any = hparams  # has no types
    final = {name: value for name, value in trial.values.items() if math.isfinite(value)}
    last = max([trial.epoch, *trial.curve])
    curve = {**trial.curve, last: {**trial.curve.get(last, {}), **final}}
    # TensorBoard reads the columns of its table from any one trial, so that each says them all.
    columns, _, _ = entry(dict(everything), dict.fromkeys(objectives))
    _, began, ended = entry(_hyperparameters(trial, objectives), {})
    with SummaryWriter(str(directory)) as writer:
        for summary in (columns, began, ended):  # SummaryWriter.add_hparams makes a folder of its own for these
            writer._get_file_writer().add_summary(summary)
        for epoch, values in sorted(curve.items()):
            for name, value in values.items():
                if math.isfinite(value):
                    writer.add_scalar(name, value, global_step=trial.fidelity.unit.tick(epoch))
