"""A search that is killed at any moment and started again finds the same, bit for bit, as one that never was."""

from __future__ import annotations

import os
import random
import signal
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from lightning_primo.layout import STORE
from lightning_primo.problem.trial import Evaluation, Origin, Proposal
from lightning_primo.store import read_events
from tests.search.searches import FULL_TRAININGS, Searches

pytestmark = pytest.mark.skipif(os.name != "posix", reason="forks and signals")


@pytest.fixture(scope="module")
def undisturbed(searches: Searches, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("undisturbed")
    assert searches.run(directory) == 0, searches.log.read_text()
    return directory


def history(directory: Path) -> list[str]:
    """What was asked and told, without the times; equal texts mean equal bits."""
    if not (directory / STORE).exists():
        return []
    return [
        repr(replace(e, seconds=0.0, measuring=0.0) if isinstance(e, Evaluation) else e)
        for e, _ in read_events(directory)
    ]


def weights(directory: Path) -> dict[str, dict[str, torch.Tensor]]:
    paths = sorted((directory / "trials").glob("*/last.ckpt"))
    return {path.parent.name: torch.load(path, weights_only=True)["state_dict"] for path in paths}


def assert_same(directory: Path, undisturbed: Path) -> None:
    assert history(directory) == history(undisturbed)
    found, expected = weights(directory), weights(undisturbed)
    assert found.keys() == expected.keys()
    for trial, state in expected.items():
        assert all(torch.equal(state[name], found[trial][name]) for name in state), trial


def test_the_search_has_all_phases(undisturbed: Path) -> None:
    events = [event for event, _ in read_events(undisturbed)]
    proposals = [event for event in events if isinstance(event, Proposal)]
    assert {proposal.operation for proposal in proposals} == {"sample", "bayesian"}
    assert any(proposal.start_epoch for proposal in proposals)
    assert len(proposals) * 2 == len(events)


KILLS = [
    ("preflight", 1),
    ("asked", 1),
    ("stored", 1),
    ("preflight", 1),
    ("training", 3),  # before the first checkpoint
    ("saved", 1),
    ("evaluated", 1),
    ("told", 1),
    ("training", 6),
    ("saved", 2),  # of a promotion, after its earlier checkpoint
    ("evaluated", 2),
    ("asking", 1),
    ("asked", 1),
    ("training", 9),
    ("evaluated", 1),
    ("asking", 2),
    ("told", 1),
]


def test_kill_at_any_moment(searches: Searches, undisturbed: Path, tmp_path: Path) -> None:
    expected = history(undisturbed)
    lengths = []
    for moment, number in KILLS:
        code = searches.run(tmp_path, moment=moment, number=number, signal=signal.SIGKILL)
        assert code == -signal.SIGKILL, f"{moment} {number}: {searches.log.read_text()}"
        found = history(tmp_path)
        assert found == expected[: len(found)], f"after {moment} {number}"
        lengths.append(len(found))
    assert lengths == sorted(lengths)
    assert 0 < lengths[-1] < len(expected)
    assert searches.run(tmp_path) == 0, searches.log.read_text()
    assert_same(tmp_path, undisturbed)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
def test_kill_at_random_times(searches: Searches, undisturbed: Path, tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    expected = history(undisturbed)
    for attempt in range(200):
        number = rng.randint(1, 1500 + 100 * attempt)  # a busy machine needs longer to get anywhere
        code = searches.run(tmp_path, moment="milliseconds", number=number, signal=signal.SIGKILL)
        found = history(tmp_path)
        assert found == expected[: len(found)]
        if code == 0:
            break
    assert code == 0
    assert_same(tmp_path, undisturbed)


def test_a_larger_budget_goes_on(searches: Searches, tmp_path: Path) -> None:
    """What was found stays; which paused trials go on near an end depends on where that is."""
    before: list[str] = []
    for full_trainings, is_more in ((1.5, True), (4, True), (2, False), (6, True)):
        assert searches.run(tmp_path, full_trainings) == 0, searches.log.read_text()
        found = history(tmp_path)
        assert found[: len(before)] == before
        assert (len(found) > len(before)) == is_more
        before = found


INTERRUPTS = [
    ("preflight", 1, signal.SIGINT),
    ("training", 10, signal.SIGINT),
    ("asking", 2, signal.SIGINT),
    ("training", 10, signal.SIGTERM),  # as by a cluster that wants its node back
]


def test_ctrl_c_and_terminated(searches: Searches, undisturbed: Path, tmp_path: Path) -> None:
    for moment, number, by in INTERRUPTS:
        before = len(searches.log.read_text())
        code = searches.run(tmp_path, moment=moment, number=number, signal=by)
        said = searches.log.read_text()[before:]
        assert (code == 0) == (by is signal.SIGINT), f"{moment} {number}: {said}"
        assert f"stopped by {'Ctrl-C' if by is signal.SIGINT else 'SIGTERM'} after" in said
        assert "the same call goes on from there" in said
        assert ("Traceback" in said) == (by is signal.SIGTERM)  # which `logged` prints
    assert searches.run(tmp_path) == 0
    assert_same(tmp_path, undisturbed)


GROWING = "bulk-and-cut"
GROWING_KILLS = [
    ("training", 15),  # init
    ("evaluated", 1),
    ("asked", 1),
    ("training", 5),
    ("asking", 1),  # bulk-up
    ("stored", 1),
    ("training", 2),  # of a child, before its first checkpoint
    ("saved", 2),
    ("evaluated", 1),
    ("told", 1),
    ("evaluated", 2),
    ("asking", 1),  # cut-down
    ("training", 2),
    ("stored", 1),
    ("saved", 1),
    ("evaluated", 1),
    ("told", 1),
]


def test_bulk_and_cut_killed_in_each_of_its_phases(searches: Searches, tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert searches.run(whole, search=GROWING) == 0, searches.log.read_text()
    expected = history(whole)
    operations = []
    for moment, number in GROWING_KILLS:
        code = searches.run(killed, search=GROWING, moment=moment, number=number, signal=signal.SIGKILL)
        assert code == -signal.SIGKILL, f"{moment} {number}: {searches.log.read_text()}"
        found = history(killed)
        assert found == expected[: len(found)], f"after {moment} {number}"
        proposals = [event for event, _ in read_events(killed) if isinstance(event, Proposal)]
        operations.append(proposals[-1].operation)
    assert set(operations) == {"sample", "deepen", "prune"}
    assert searches.run(killed, search=GROWING) == 0, searches.log.read_text()
    assert_same(killed, whole)


POPULATION_KILLS = [
    ("training", 7),
    ("evaluated", 1),
    ("stored", 2),
    ("asking", 1),  # about the first take-over
    ("asked", 1),
    ("stored", 1),
    ("training", 2),  # of it, or of the one that it was taken over from
    ("saved", 1),
    ("told", 1),
    ("evaluated", 2),
    ("asking", 1),
    ("training", 6),
    ("evaluated", 1),
]


def test_a_population_killed_while_trainings_are_taken_over(searches: Searches, tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert searches.run(whole, 4, search="pbt") == 0, searches.log.read_text()
    expected = history(whole)
    for moment, number in POPULATION_KILLS:
        code = searches.run(killed, 4, search="pbt", moment=moment, number=number, signal=signal.SIGKILL)
        assert code == -signal.SIGKILL, f"{moment} {number}: {searches.log.read_text()}"
        found = history(killed)
        assert found == expected[: len(found)], f"after {moment} {number}"
    proposals = [event for event, _ in read_events(killed) if isinstance(event, Proposal)]
    assert "perturb" in {proposal.operation for proposal in proposals}
    assert searches.run(killed, 4, search="pbt") == 0, searches.log.read_text()
    assert_same(killed, whole)
    assert not list(killed.glob("trials/*/epoch_*"))


FOLDED_TRAININGS = 16
FOLD_KILLS = [
    ("training", 20),  # of 12 steps, the second fold of the first trial
    ("saved", 1),
    ("evaluated", 1),
    ("training", 16),
    ("told", 2),
    ("training", 40),
]


def test_killed_between_and_within_folds(searches: Searches, tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert searches.run(whole, FOLDED_TRAININGS, search="folds") == 0, searches.log.read_text()
    expected = history(whole)
    replicates = [e.measurements["replicates"] for e, _ in read_events(whole) if isinstance(e, Evaluation) and e.ok]
    assert set(replicates) == {1.0, 2.0}
    for moment, number in FOLD_KILLS:
        code = searches.run(
            killed, FOLDED_TRAININGS, search="folds", moment=moment, number=number, signal=signal.SIGKILL
        )
        assert code == -signal.SIGKILL, f"{moment} {number}: {searches.log.read_text()}"
        found = history(killed)
        assert found == expected[: len(found)], f"after {moment} {number}"
    assert searches.run(killed, FOLDED_TRAININGS, search="folds") == 0, searches.log.read_text()
    assert_same(killed, whole)
    assert not list(killed.glob("trials/*/replicates/*/*.ckpt"))


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "full_trainings"), [("folds", 24), ("begun", FULL_TRAININGS)])
@pytest.mark.parametrize("seed", range(3))
def test_others_killed_at_random_times(
    searches: Searches, tmp_path: Path, kind: str, full_trainings: float, seed: int
) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert searches.run(whole, full_trainings, search=kind) == 0, searches.log.read_text()
    rng = random.Random(seed)
    expected = history(whole)
    for attempt in range(200):
        number = rng.randint(1, 1500 + 100 * attempt)  # a busy machine needs longer to get anywhere
        code = searches.run(
            killed, full_trainings, search=kind, moment="milliseconds", number=number, signal=signal.SIGKILL
        )
        found = history(killed)
        assert found == expected[: len(found)]
        if code == 0:
            break
    assert code == 0
    assert_same(killed, whole)
    origins = {event.origin for event, _ in read_events(killed) if isinstance(event, Proposal)}
    assert origins == ({Origin.ALGORITHM} if kind == "folds" else set(Origin))


def test_the_same_call_again_trains_nothing(searches: Searches, undisturbed: Path, tmp_path: Path) -> None:
    before = history(undisturbed)
    assert searches.run(undisturbed, moment="training", number=1, signal=signal.SIGKILL) == 0
    assert history(undisturbed) == before
