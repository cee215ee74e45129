"""A search by population-based training, from its trials to what is left of them."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch

from lightning_primo import PBT, Metric, Perturb, Result
from lightning_primo.cli.commands import plot
from lightning_primo.layout import trial_directory
from lightning_primo.problem.trial import Proposal, Status
from lightning_primo.results.trial_result import TrialResult
from lightning_primo.store import read_events
from lightning_primo.training.checkpoint.record import read_record
from tests.search.resume_script import make_search

FULL = 6


def searched(directory: Path, **changes: Any) -> Result:
    arguments = {
        "algorithm": PBT(population=4, interval=2, explore=Perturb(resample=0.0)),
        "objectives": [Metric("val_loss")],
        "epochs": (1, FULL),
        **changes,
    }
    return make_search(directory, **arguments).run(full_trainings=4, progress=False)


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> Result:
    return searched(tmp_path_factory.mktemp("search"))


def forks(result: Result) -> list[TrialResult]:
    return [trial for trial in result.trials if trial.operation == "perturb"]


def test_who_takes_over_a_training_goes_on_from_there(result: Result) -> None:
    assert len(forks(result)) == 2
    assert result.epochs == 4 * FULL
    assert sum(trial.trained_fully for trial in result.trials) == 4
    for trial in forks(result):
        start = max(trial.schedule)
        assert start in (2, 4)
        assert min(trial.curve) == start + 1
        assert (trial.epoch, trial.cost, trial.status) == (FULL, FULL - start, Status.OK)
        parent = result.trials[trial.parent or 0]
        assert parent.curve.keys() >= {1, 2} or start == 4
        changed = {name for name in trial.config if trial.config[name] != parent.config[name]}
        assert {"lr"} <= changed <= {"lr", "dropout"}  # and not the width
        assert trial.config["lr"] / parent.config["lr"] == pytest.approx(1.2, abs=1e-6) or (  # type: ignore[operator]
            trial.config["lr"] / parent.config["lr"] == pytest.approx(0.8, abs=1e-6)  # type: ignore[operator]
        )


def test_the_worst_ends_and_the_best_is_taken_over(result: Result) -> None:
    first = [trial for trial in result.trials if trial.operation == "sample"]
    at = {trial.id: trial.curve[2]["val_loss"] for trial in first}
    worst, best = max(at, key=at.__getitem__), min(at, key=at.__getitem__)
    assert result.trials[worst].epoch == 2
    assert next(trial for trial in forks(result) if max(trial.schedule) == 2).parent == best


def test_of_all_checkpoints_those_of_the_front_are_left(result: Result) -> None:
    assert not list(result.directory.glob("trials/*/epoch_*"))
    left = {int(path.parent.name) for path in result.directory.glob("trials/*/last.ckpt")}
    assert left == {trial.id for trial in result.front}


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Result:
    """The same, with all checkpoints."""
    return searched(tmp_path_factory.mktemp("kept"), keep_all_checkpoints=True)


def test_a_checkpoint_knows_the_whole_training(result: Result, kept: Result) -> None:
    assert [trial.values for trial in kept.trials] == [trial.values for trial in result.trials]
    for trial in forks(kept):
        record = read_record(trial_directory(kept.directory, trial.id))
        assert record is not None
        assert record.curve.keys() == set(range(1, FULL + 1))
        before = kept.trials[trial.parent or 0].curve
        start = max(trial.schedule)
        assert record.curve[start]["val_loss"] == before[start]["val_loss"]
        assert {epoch: record.curve[epoch] for epoch in trial.curve} == dict(trial.curve)


def test_a_schedule_is_exported_and_drawn(kept: Result, tmp_path: Path) -> None:
    (trial,) = (trial for trial in forks(kept) if max(trial.schedule) == 2)
    out = kept.export(tmp_path / "out", trials=[trial.id, 0])
    told = json.loads((out / f"trial_{trial.id:05d}" / "schedule.json").read_text())
    assert {int(epoch): config for epoch, config in told.items()} == dict(trial.schedule)
    assert list(trial.schedule) == [0, 2]
    assert not (out / "trial_00000" / "schedule.json").exists()
    figure = kept.plot_schedules(trials=[trial, 0])
    assert figure.axes[0].get_ylabel() == "lr"
    (line,) = (line for line in figure.axes[0].lines if line.get_label() == f"trial {trial.id}")
    rates = [config["lr"] for config in trial.schedule.values()]
    assert line.get_xydata().tolist() == [[0, rates[0]], [2, rates[1]], [FULL, rates[1]]]
    assert plot.run(plot.parser().parse_args([str(kept.directory), "--out", str(tmp_path / "pictures")])) == 0
    on_front = any(len(member.schedule) > 1 for member in kept.front)
    assert (tmp_path / "pictures" / "schedules.png").exists() == on_front


@pytest.mark.slow
def test_trainings_are_taken_over_while_their_owners_go_on(tmp_path: Path) -> None:
    """With several workers a member may be epochs ahead when another one takes over where it was."""
    with ThreadPoolExecutor(3) as executor:
        result = searched(tmp_path, executor=executor, algorithm=PBT(population=4, interval=1))
    assert {trial.status for trial in result.trials} == {Status.OK}
    assert forks(result)
    proposals = [event for event, _ in read_events(tmp_path) if isinstance(event, Proposal)]
    for proposal in proposals:
        if proposal.inherits:
            assert proposal.parent is not None
            parent = result.trials[proposal.parent]
            assert proposal.start_epoch in parent.curve
    for trial in result.front:
        assert torch.isfinite(torch.cat([p.flatten() for p in result.load(trial).parameters()])).all()
