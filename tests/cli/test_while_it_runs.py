"""The commands that read a search, while another process writes its log and removes its checkpoints."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from lightning_primo.cli.commands import export, front, plot, status
from lightning_primo.layout import trial_directory
from lightning_primo.problem.trial import Evaluation, Proposal
from lightning_primo.search.stored_search import StoredSearch
from lightning_primo.store import Store
from tests.cli.searches import written

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="forks")


def search_on(directory: Path) -> None:
    """Tell trials of which each dominates those before it, and remove their checkpoints as soon as they are."""
    log = StoredSearch.open(directory)
    proposals = [event for event, _ in log.events if isinstance(event, Proposal)]
    n_trials = max(proposal.trial_id for proposal in proposals) + 1
    known = next(event for event, _ in log.events if isinstance(event, Evaluation) and event.ok and event.epoch == 9)
    with Store(directory, log.description) as store:
        for trial_id in range(n_trials, 100_000):
            store.ask(replace(proposals[0], trial_id=trial_id, epoch=9, start_epoch=0, parent=None), elapsed=1e3)
            folder = trial_directory(directory, trial_id)
            folder.mkdir(parents=True)
            torch.save({"state_dict": {"weight": torch.zeros(200_000)}}, folder / "last.ckpt")
            losses = (0.01 / trial_id, 0.01 / trial_id)
            store.tell(replace(known, trial_id=trial_id, losses=losses, curve={9: losses}), elapsed=1e3)
            for path in sorted(directory.glob("trials/*/last.ckpt"))[:-1]:
                path.unlink()
            time.sleep(0.1)


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Path]:
    directory = tmp_path / "search"
    written(directory)
    n = len(StoredSearch.open(directory).events)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of fork, where there are threads: the child uses none
        pid = os.fork()
    if pid == 0:
        try:
            search_on(directory)
        finally:
            os._exit(1)
    while len(StoredSearch.open(directory).events) < n + 4:
        time.sleep(0.01)
    yield directory
    assert os.waitpid(pid, os.WNOHANG) == (0, 0)  # no reader has stopped it
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def test_the_commands_read_a_search_that_runs(
    running: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    totals = []
    for turn in range(12):
        capsys.readouterr()
        assert status.run(status.parser().parse_args([str(running), "--json"])) == 0
        totals.append(json.loads(capsys.readouterr().out)["trials"]["total"])
        assert front.run(front.parser().parse_args([str(running)])) == 0
        out = str(tmp_path / f"front {turn}")
        assert export.run(export.parser().parse_args([str(running), "--out", out])) == 0
        assert (tmp_path / f"front {turn}" / "front.csv").exists()
    assert plot.run(plot.parser().parse_args([str(running), "--out", str(tmp_path / "front.png")])) == 0
    assert totals == sorted(totals)
    assert totals[0] < totals[-1]
    assert not list(tmp_path.glob(".front*"))
