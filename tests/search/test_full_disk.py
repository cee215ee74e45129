"""A disk that is full ends a search, not its trials; the same call goes on with what was being trained."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from lightning_primo import Metric, RandomSearch, Search
from lightning_primo.errors import StorageError
from lightning_primo.problem.trial import Evaluation, Proposal, Status
from lightning_primo.store import read_events
from tests.disks import files_at_most
from tests.search.resume_script import Net, build, make_search
from tests.search.test_resume import history

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="limits of a process")

LIMIT = 300_000  # the log is smaller, a checkpoint of `large` larger


def large(config: dict[str, Any]) -> Net:
    module = build(config)
    module.register_buffer("ballast", torch.zeros(LIMIT // 2))
    return module


def search(directory: Path, **changes: Any) -> Search:
    arguments: dict[str, Any] = {"algorithm": RandomSearch(), "epochs": (1, 1), "objectives": [Metric("val_loss")]}
    return make_search(directory, **{**arguments, "module": large, **changes})


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_full_disk_burns_no_trials(tmp_path: Path, workers: int) -> None:
    whole, directory = tmp_path / "whole", tmp_path / "search"
    search(whole).run(trials=4, progress=False)
    search(directory, workers=workers).run(trials=2, progress=False)
    with files_at_most(LIMIT), pytest.raises(StorageError) as caught:
        search(directory, workers=workers).run(trials=4, progress=False)
    message = str(caught.value)
    assert "cannot write its files: [Errno 27] File too large" in message
    assert f"MB free in {str(directory)!r}" in message
    assert "then run the same search again: all that was told is kept, and this trial goes on" in message
    events = [event for event, _ in read_events(directory)]
    assert [type(event) for event in events][:4] == [Proposal, Evaluation] * 2 or workers == 2
    assert isinstance(events[-1], Proposal)  # pending
    assert not list(directory.glob("trials/*/*partial*"))
    search(directory, workers=workers).run(trials=4, progress=False)
    told = [event for event, _ in read_events(directory) if isinstance(event, Evaluation)]
    assert [evaluation.status for evaluation in told] == [Status.OK] * 4
    if workers == 1:
        assert history(directory) == history(whole)


class Writing(Net):
    """Writes a file of its own in its folder."""

    def on_fit_start(self) -> None:
        (Path(self.trainer.default_root_dir) / "notes").write_bytes(bytes(2 * LIMIT))


def test_a_full_disk_is_told_before_the_search(tmp_path: Path) -> None:
    with files_at_most(LIMIT), pytest.raises(StorageError, match=r"one batch cannot be tried out: .*File too large"):
        search(tmp_path, module=lambda config: Writing()).run(trials=1, progress=False)
    assert read_events(tmp_path) == []
    assert not (tmp_path / "preflight").exists()


def test_what_a_killed_preflight_has_left_is_removed(tmp_path: Path) -> None:
    (tmp_path / "preflight" / "logs").mkdir(parents=True)
    search(tmp_path).run(trials=1, progress=False)
    assert not (tmp_path / "preflight").exists()


def test_exports_and_pictures_on_a_full_disk(tmp_path: Path) -> None:
    result = search(tmp_path / "search").run(trials=1, progress=False)
    with (
        files_at_most(LIMIT),
        pytest.raises(StorageError, match=rf"'directory' '{tmp_path}/front' cannot be written: "),
    ):
        result.export(tmp_path / "front")
    assert [path.name for path in tmp_path.iterdir()] == ["search"]
    with files_at_most(1000), pytest.raises(StorageError, match=r"'path' .*front\.png' cannot be written: "):
        result.plot_front(tmp_path / "front.png")
    result.export(tmp_path / "front")
