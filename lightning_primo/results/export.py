"""What is done with the trained networks of a result: load them, test them, hand them out as files."""

from __future__ import annotations

import json
import math
import shutil
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pandas as pd
import torch
from lightning.pytorch.callbacks import Checkpoint, ProgressBar
from lightning.pytorch.utilities.model_helpers import is_overridden

from lightning_primo.disk import storage_explained
from lightning_primo.errors import CheckpointError, InvalidArgumentError, PrimoError
from lightning_primo.factory import Factory
from lightning_primo.layout import checkpoint_file, trial_directory
from lightning_primo.results.trial_result import TrialResult
from lightning_primo.training.checkpoint.record import read_weights
from lightning_primo.training.job import build_data
from lightning_primo.training.loggers import listed
from lightning_primo.training.options import TrainerArguments
from lightning_primo.training.parallelism import on_one_device
from lightning_primo.training.process_state import process_kept, quiet_lightning
from lightning_primo.training.trainer import make_trainer, trainer_arguments

TABLE = "front.csv"
CHOSEN_TABLE = "exported.csv"  # of an export of chosen trials

StateDict = dict[str, torch.Tensor]


def load_state(directory: Path, trial: TrialResult) -> StateDict:
    """The weights of a trial, on the CPU; of a trial that failed later, those of its last checkpoint.

    Args:
        directory: The search's directory.
        trial: The trial.

    Raises:
        CheckpointError: If its checkpoint was removed, or cannot be read.
        PrimoError: If the trial was never trained.
    """
    path = checkpoint_file(trial_directory(directory, trial.id))
    if trial.epoch == 0:
        reason = f": {trial.reason}" if trial.reason else ""
        raise PrimoError(f"trial {trial.id} has no weights, no training of it succeeded ({trial.outcome}{reason})")
    try:
        return read_weights(path.parent)
    except FileNotFoundError as error:
        raise CheckpointError(
            f"the checkpoint of trial {trial.id} is gone, {str(path)!r} does not exist: checkpoints are kept for the "
            "trials on or near the front and for those that may still be continued; one that came to the front only "
            "when its latency was measured again may have lost its own. Choose other trials (`trials` of an export), "
            "search with keep_all_checkpoints=True, or, while the search runs, read its result again"
        ) from error


def load_module(directory: Path, trial: TrialResult, build: Factory) -> pl.LightningModule:
    """The trained module of a trial, on the CPU and in evaluation mode.

    Args:
        directory: The search's directory.
        trial: The trial.
        build: How its module is built.

    Raises:
        PrimoError: As for `load_state`, or if its weights do not fit the module that is built now.
    """
    state = load_state(directory, trial)
    with process_kept():  # the initial weights are drawn from the global generator
        module = build.whole_module(trial.config)
    try:
        module.load_state_dict(state, strict=True)
    except RuntimeError as error:
        raise PrimoError(
            f"the weights of trial {trial.id} do not fit the module that its configuration builds now; has the code "
            f"changed since it was trained? {error}"
        ) from error
    module.cpu().eval()
    return module


def run_test(
    module: pl.LightningModule,
    trial: TrialResult,
    build: Factory,
    *,
    seed: int,
    trainer: TrainerArguments,
    directory: Path,
) -> dict[str, float]:
    """What a module logs in one pass over the test data, which leaves no files behind.

    Args:
        module: The trained module.
        trial: The trial.
        build: How its data are built.
        seed: The search's, with which a split that is drawn at random is the one that the trial was trained on.
        trainer: The user's arguments of the Trainer, or a function of the configuration that gives them.
        directory: The trial's own.

    Raises:
        PrimoError: If there is no test data, the module has no test step, or it logs nothing there.
    """
    data = build.data(trial.config)
    sources = [module] if data is None else [data, module]
    if not any(is_overridden("test_dataloader", source) for source in sources):
        raise PrimoError(
            f"there is no test data: {' and '.join(type(source).__name__ for source in sources)} have no "
            "test_dataloader; add one, or give 'datamodule' as dataloaders with the key 'test'"
        )
    if not is_overridden("test_step", module):
        raise PrimoError(f"{type(module).__name__} has no test_step, so there is nothing to run on the test data")
    arguments = trainer_arguments(trainer, trial.config)
    given = listed(arguments.get("callbacks"))
    callbacks = [callback for callback in given if not isinstance(callback, (Checkpoint, ProgressBar))]
    silent = {"callbacks": callbacks, "logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    with process_kept(), quiet_lightning():
        runner = make_trainer({**on_one_device(arguments), **silent}, directory=directory, max_epochs=1)
        results = runner.test(module, datamodule=build_data(build, trial.config, seed), verbose=False)
    metrics = {name: float(value) for result in results for name, value in result.items()}
    if not metrics:
        raise PrimoError(f"{type(module).__name__} logs nothing in its test_step; call self.log there")
    return {name if name.startswith("test") else f"test_{name}": value for name, value in metrics.items()}


def export_trials(
    target: Path,
    directory: Path,
    trials: Sequence[TrialResult],
    *,
    table: pd.DataFrame,
    table_name: str,
    tests: Mapping[int, Mapping[str, float]],
    search: Mapping[str, str],
    writers: Sequence[Callable[[TrialResult, Path], None]] = (),
    overwrite: bool = False,
) -> None:
    """Write trials as files that need nothing of this package to be read.

    The folder appears complete or not at all.

    Args:
        target: The folder to make.
        directory: The search's directory.
        trials: The front, or others whose weights are kept.
        table: Their table.
        table_name: `TABLE` or `CHOSEN_TABLE`.
        tests: Test metrics by trial id.
        search: What the search is, as text by key.
        writers: Write more files: called with each trial and its folder.
        overwrite: Whether to replace an earlier export.

    Raises:
        InvalidArgumentError: If `target` is not empty, and not an earlier export that may be replaced.
        CheckpointError: If a checkpoint cannot be read, or was removed, as by a search that runs.
        StorageError: If the disk is full or cannot be written to; nothing of the export is left then.
        PrimoError: If there are no trials.
    """
    if not trials:
        raise PrimoError(
            "there is nothing to export: no trial was trained to the full budget yet, or none keeps its bounds"
        )
    target = target.absolute()
    _check_target(target, overwrite)
    with storage_explained(f"'directory' {str(target)!r} cannot be written"), _folder_beside(target) as unfinished:
        for trial in trials:
            folder = unfinished / f"trial_{trial.id:05d}"
            folder.mkdir()
            torch.save(dict(load_state(directory, trial)), folder / "state_dict.pt")
            _write_json(folder / "config.json", dict(trial.config))
            _write_json(folder / "objectives.json", _described(trial, tests.get(trial.id, {}), search))
            for write in writers:
                write(trial, folder)
        table.to_csv(unfinished / table_name, index=False)
        _replace(unfinished, target)


@contextmanager
def _folder_beside(target: Path) -> Iterator[Path]:
    """A new folder that can be renamed to `target`; removed in the end if it was not."""
    target.parent.mkdir(parents=True, exist_ok=True)
    folder = target.parent / f".{target.name}-{uuid.uuid4().hex}"
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _check_target(target: Path, overwrite: bool) -> None:
    if not target.exists():
        return
    if not target.is_dir():
        raise InvalidArgumentError(f"'directory' {str(target)!r} is a file; give a new or an empty folder")
    if any(target.iterdir()):
        if not overwrite:
            raise InvalidArgumentError(
                f"'directory' {str(target)!r} is not empty; choose another one, or replace an earlier export with "
                "overwrite=True"
            )
        # A slip such as export(".", overwrite=True) must not delete a home.
        if not any((target / name).exists() for name in (TABLE, CHOSEN_TABLE)):
            raise InvalidArgumentError(
                f"'directory' {str(target)!r} is not an earlier export: there is no {TABLE!r} or {CHOSEN_TABLE!r} in "
                "it, so it is not replaced; choose another one"
            )


def _replace(unfinished: Path, target: Path) -> None:
    if not target.exists():
        unfinished.rename(target)
        return
    old = target.parent / f".{target.name}-{uuid.uuid4().hex}"
    target.rename(old)
    try:
        unfinished.rename(target)
    except OSError:
        old.rename(target)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _described(trial: TrialResult, tests: Mapping[str, float], search: Mapping[str, str]) -> dict[str, Any]:
    return {
        "trial": trial.id,
        "values": _jsonable(trial.values),
        "measurements": _jsonable(trial.measurements),
        "measured_on": {name: dict(place) for name, place in trial.measured_on.items()},
        "test": _jsonable(tests),
        "epoch": trial.epoch,
        "cost": trial.cost,
        "seconds": trial.seconds,
        "status": trial.outcome,
        "parent": trial.parent,
        "operation": trial.operation,
        "search": dict(search),
    }


def _jsonable(values: Mapping[str, float]) -> dict[str, float | None]:
    return {name: value if math.isfinite(value) else None for name, value in values.items()}


def _write_json(path: Path, values: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(values, indent=2, allow_nan=False) + "\n", encoding="utf-8")
