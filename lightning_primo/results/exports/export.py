"""Trials as plain files, for whoever has not got this package."""

from __future__ import annotations

import shutil
import uuid
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from lightning_primo.disk import storage_explained
from lightning_primo.errors import CheckpointWarning, InvalidArgumentError, PrimoError
from lightning_primo.json_values import to_json
from lightning_primo.problem import Problem
from lightning_primo.results.exports.readme import README, readme
from lightning_primo.results.loading import load_checkpoint, load_state
from lightning_primo.results.trial_result import TrialResult
from lightning_primo.training.checkpoint.plain_hyperparameters import LEFT_OUT, how_to_load, named

TABLE = "front.csv"
CHOSEN_TABLE = "exported.csv"  # of an export of chosen trials
SCHEDULE = "schedule.json"  # of a trial whose hyperparameters changed while it was trained


def export_trials(
    target: Path,
    directory: Path,
    trials: Sequence[TrialResult],
    *,
    problem: Problem,
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
        trials: The front, or others whose weights are kept. Those whose results were known already have none.
        problem: What was searched.
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

    A CheckpointWarning says which hyperparameters ``load_from_checkpoint`` must be given, see `without_objects`.
    """
    if not trials:
        raise PrimoError(
            "there is nothing to export: no trial was trained to the full budget yet, or none keeps its bounds"
        )
    target = target.absolute()
    check_target(target, overwrite=overwrite)
    missing: dict[str, None] | None = None
    with storage_explained(f"'directory' {str(target)!r} cannot be written"), _folder_beside(target) as unfinished:
        for trial in trials:
            folder = unfinished / trial.folder_name
            folder.mkdir()
            if not trial.known:
                torch.save(dict(load_state(directory, trial)), folder / "state_dict.pt")
                checkpoint = load_checkpoint(directory, trial)
                if LEFT_OUT in checkpoint:
                    missing = {**(missing or {}), **dict.fromkeys(checkpoint[LEFT_OUT])}
                torch.save(checkpoint, folder / "model.ckpt")
            described = _described(trial, tests.get(trial.id, {}), search)
            for name, values in (("config.json", trial.config), ("objectives.json", described)):
                (folder / name).write_text(to_json(values) + "\n", encoding="utf-8")
            if len(trial.schedule) > 1:
                entries = {str(epoch): dict(config) for epoch, config in trial.schedule.items()}
                (folder / SCHEDULE).write_text(to_json(entries) + "\n", encoding="utf-8")
        table.to_csv(unfinished / table_name, index=False)
        for write in writers:
            for trial in (trial for trial in trials if not trial.known):
                write(trial, unfinished / trial.folder_name)
        text = readme(unfinished, trials, problem, tests=tests, table=table_name, missing=missing)
        (unfinished / README).write_text(text, encoding="utf-8")
        _replace(unfinished, target)
    if missing is not None:
        warnings.warn(
            f"{named(missing)} are not in model.ckpt, as they hold objects that do not load with weights_only=True: "
            f"{how_to_load(missing)}",
            CheckpointWarning,
            stacklevel=3,
        )


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


def check_target(target: str | Path, *, overwrite: bool = False) -> None:
    """Look whether an export may go to a folder; call it before a long search whose result is exported.

    Args:
        target: The folder.
        overwrite: Whether to replace an earlier export.

    Raises:
        InvalidArgumentError: If it is not empty, and not an earlier export that may be replaced.
    """
    target = Path(target)
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
        "values": dict(trial.values),
        "measurements": dict(trial.measurements),
        "measured_on": {name: dict(place) for name, place in trial.measured_on.items()},
        "test": dict(tests),
        trial.fidelity.unit.singular: trial.amount,
        "cost": trial.fidelity.amount(trial.cost),
        "seconds": trial.seconds,
        "status": trial.outcome,
        "parent": trial.parent,
        "operation": trial.operation,
        "search": dict(search),
    }
