"""Checkpoints are kept where something may still need them, and nowhere else."""

from pathlib import Path

import pytest

from lightning_primo import MOASHA, PriMO, Result, Search
from lightning_primo.errors import PrimoError
from tests.search.resume_script import make_search


def kept(directory: Path) -> set[int]:
    return {int(path.parent.name) for path in (directory / "trials").glob("*/last.ckpt")}


def on_front(result: Result) -> set[int]:
    return {trial.id for trial in result.front}


def started(directory: Path, algorithm: MOASHA | PriMO, **options: bool) -> Search:
    search = make_search(directory)
    search.keep_all_checkpoints = options.get("keep_all_checkpoints", False)
    search.algorithm = algorithm
    algorithm.start(search.problem, seed=search.seed)
    return search


def test_the_front_and_what_may_be_promoted(tmp_path: Path) -> None:
    search = started(tmp_path, MOASHA())
    result = search.run(full_trainings=5, progress=False)
    unfinished = {trial.id for trial in result.trials if trial.epoch < search.problem.max_epochs}
    dominated = {trial.id for trial in result.trials} - unfinished - on_front(result)
    assert unfinished
    assert kept(tmp_path) == on_front(result) | unfinished
    for trial_id in dominated:
        with pytest.raises(PrimoError, match="keep_all_checkpoints=True"):
            result.load(trial_id)


def test_only_the_front_once_primo_has_left_its_initial_design(tmp_path: Path) -> None:
    result = started(tmp_path, PriMO(n_init=2, pause=None)).run(full_trainings=5, progress=False)
    assert kept(tmp_path) == on_front(result)
    for trial in result.front:
        result.load(trial)


def test_what_a_killed_run_left_behind_goes_with_the_next(tmp_path: Path) -> None:
    result = started(tmp_path, PriMO(n_init=2, pause=None)).run(full_trainings=5, progress=False)
    stray = next(trial.id for trial in result.trials if trial.id not in on_front(result))
    path = tmp_path / "trials" / f"{stray:05d}" / "last.ckpt"
    path.write_bytes(b"left by a kill between the log and the deletion")
    started(tmp_path, PriMO(n_init=2, pause=None)).run(full_trainings=5, progress=False)
    assert kept(tmp_path) == on_front(result)


def test_all_of_them_if_wanted(tmp_path: Path) -> None:
    search = started(tmp_path, PriMO(n_init=2, pause=None), keep_all_checkpoints=True)
    result = search.run(full_trainings=4, progress=False)
    assert kept(tmp_path) == {trial.id for trial in result.trials if trial.epoch}
