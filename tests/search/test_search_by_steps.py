"""Searches whose trainings are counted in optimiser steps."""

from __future__ import annotations

import random
import signal
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from lightning_primo import MOASHA, read_result
from lightning_primo.errors import InvalidArgumentError, SearchMismatchError
from lightning_primo.problem import Fidelity, Steps
from lightning_primo.problem.trial import Proposal
from lightning_primo.store import read_events
from tests.search.resume_script import make_search
from tests.search.searches import Searches
from tests.search.test_resume import assert_same, history

FULL_TRAININGS = 4
KILLS = [
    ("training", 2),  # before the first checkpoint
    ("saved", 1),
    ("evaluated", 1),
    ("training", 5),  # of a promotion, inside an epoch
    ("saved", 2),
    ("told", 1),
]


@pytest.fixture(scope="module")
def undisturbed(searches: Searches, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("undisturbed")
    assert searches.run(directory, FULL_TRAININGS, search="steps") == 0, searches.log.read_text()
    return directory


def test_killed_at_any_moment_it_ends_as_if_it_never_was(searches: Searches, undisturbed: Path, tmp_path: Path) -> None:
    expected = history(undisturbed)
    for moment, number in KILLS:
        code = searches.run(
            tmp_path, FULL_TRAININGS, search="steps", moment=moment, number=number, signal=signal.SIGKILL
        )
        assert code == -signal.SIGKILL, f"{moment} {number}: {searches.log.read_text()}"
        found = history(tmp_path)
        assert found == expected[: len(found)], f"after {moment} {number}"
    assert searches.run(tmp_path, FULL_TRAININGS, search="steps") == 0, searches.log.read_text()
    assert_same(tmp_path, undisturbed)
    assert any(event.start_epoch for event, _ in read_events(undisturbed) if isinstance(event, Proposal))


@pytest.mark.slow
@pytest.mark.parametrize("search", ["steps", "pbt by steps"])
def test_killed_at_random_times_it_ends_as_if_it_never_was(searches: Searches, tmp_path: Path, search: str) -> None:
    rng = random.Random(3)
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert searches.run(whole, 8, search=search) == 0, searches.log.read_text()
    expected, n_killed = history(whole), 0
    for attempt in range(200):
        number = rng.randint(1, 500 + 200 * attempt)  # a busy machine needs longer to get anywhere
        code = searches.run(killed, 8, search=search, moment="milliseconds", number=number, signal=signal.SIGKILL)
        n_killed += code == -signal.SIGKILL
        found = history(killed)
        assert found == expected[: len(found)]
        if code == 0:
            break
    assert code == 0
    assert n_killed > 0
    assert_same(killed, whole)


def test_bulk_and_cut_grows_and_prunes_by_steps(searches: Searches, tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    grown = {"full_trainings": 9, "search": "bulk-and-cut by steps"}
    assert searches.run(whole, **grown) == 0, searches.log.read_text()
    result = read_result(whole)
    counts = Counter(trial.operation for trial in result.trials)
    assert min(counts[operation] for operation in ("sample", "deepen", "prune")) >= 2, counts
    assert all(trial.trained_fully for trial in result.trials), result.summary()
    assert {trial.operation: trial.amount for trial in result.trials} == {"sample": 9, "deepen": 9, "prune": 3}
    for moment, number in [("saved", 14), ("training", 8), ("evaluated", 2)]:  # of one that was grown, and pruned
        code = searches.run(killed, **grown, moment=moment, number=number, signal=signal.SIGKILL)
        assert code == -signal.SIGKILL, searches.log.read_text()
    assert searches.run(killed, **grown) == 0, searches.log.read_text()
    assert_same(killed, whole)


def test_what_people_see_is_in_steps(undisturbed: Path) -> None:
    result = read_result(undisturbed)
    assert result.problem.fidelity == Fidelity(Steps(3), 1, 3)
    assert f"{3 * result.epochs:g} steps = {result.full_trainings:.4g} full trainings" in result.summary()
    table = result.to_pandas()
    assert "epoch" not in table
    assert set(table["step"]) <= {0, 3, 6, 9}
    assert table["cost"].sum() == 3 * result.epochs
    assert next(iter(result.hypervolume_over_cost())) == "steps"
    trial = next(trial for trial in result.trials if trial.trained_fully)
    assert (trial.epoch, trial.amount) == (3, 9)
    assert repr(trial).endswith("step 9>")
    assert result.plot_hypervolume().axes[0].get_xlabel() == "steps trained"


def test_a_search_by_epochs_does_not_go_on_by_steps(undisturbed: Path, tmp_path: Path) -> None:
    with pytest.raises(SearchMismatchError, match=r"epochs: stored steps \(3, 9\) by 3, given \(1, 3\)"):
        make_search(undisturbed).result()
    with pytest.raises(InvalidArgumentError, match=r"are counted in steps \(3 to 9 steps\), and here .* in epochs"):
        make_search(tmp_path, known=undisturbed)
    with pytest.raises(InvalidArgumentError, match="are counted in steps"):
        make_search(tmp_path, continues=undisturbed)


def test_what_is_known_is_known_at_its_steps(tmp_path: Path, undisturbed: Path) -> None:
    config = {"lr": 0.01, "width": 4, "regularised": False}
    by_steps: dict[str, Any] = {"epochs": None, "steps": (3, 9), "algorithm": MOASHA()}
    search = make_search(tmp_path, **by_steps, known=[(config, {"val_loss": 0.5}, 6)])
    search.run(trials=1, progress=False, report=False)
    known = next(trial for trial in search.result().trials if trial.known)
    assert (known.epoch, known.amount) == (2, 6)
    with pytest.raises(InvalidArgumentError, match=r"has the step 5; expected .* from 3, .* to 9, .* a multiple of 3"):
        make_search(tmp_path / "other", **by_steps, known=[(config, {"val_loss": 0.5}, 5)])
    again = make_search(tmp_path / "again", **by_steps, known=undisturbed)
    again.run(trials=1, progress=False, report=False)
    assert any(trial.known and trial.amount == 9 for trial in again.result().trials)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"steps": (3, 9)}, "takes one of 'epochs', 'steps' and 'data', got 'epochs' and 'steps'"),
        ({"epochs": None}, "takes one of 'epochs', 'steps' and 'data', got none"),
        ({"epochs": None, "steps": (9, 3)}, "'steps' must be two whole numbers"),
        ({"epochs": None, "steps": (0.5, 3)}, "'steps' must be two whole numbers"),
        ({"epochs": None, "steps": 500}, "'steps' must be two whole numbers"),
        ({"epochs": None, "steps": (500, 13_501)}, r"greatest common divisor 1, .* such as \(500, 13,500\)"),
    ],
)
def test_lengths_that_are_none(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidArgumentError, match=message):
        make_search(tmp_path, **changes)


@pytest.mark.parametrize(
    ("trainer", "message"),
    [
        ({"check_val_every_n_epoch": 1}, "must not set 'check_val_every_n_epoch' to 1 .* leave it out"),
        ({"val_check_interval": 0.5}, "must not set 'val_check_interval' to 0.5 .* whole number of batches"),
        ({"val_check_interval": 4}, r"validates every 4 steps, so not after 3, .* multiples of 4 \(such as 4, 8\)"),
        ({"val_check_interval": 3, "accumulate_grad_batches": 2}, "no whole number of optimiser steps of 2 batches"),
        ({"devices": 2, "strategy": "ddp_spawn"}, "strategy"),
        ({"devices": 2}, "several devices per trial"),
        ({"overfit_batches": 2}, "overfit_batches"),
        ({"max_steps": 9}, "must not set 'max_steps'"),
    ],
)
def test_trainers_that_cannot_be_counted_in_steps(tmp_path: Path, trainer: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidArgumentError, match=message):
        make_search(tmp_path, epochs=None, steps=(3, 9), trainer={"accelerator": "cpu", **trainer})


def test_validations_of_the_user_are_heeded(tmp_path: Path) -> None:
    trainer = {"accelerator": "cpu", "val_check_interval": 6, "accumulate_grad_batches": 2}
    fidelity = make_search(tmp_path, epochs=None, steps=(30, 90), trainer=trainer).problem.fidelity
    assert (fidelity.unit.grain, fidelity.least, fidelity.full) == (3, 10, 30)


def test_a_budget_is_in_the_unit_of_the_trainings(tmp_path: Path) -> None:
    search = make_search(tmp_path, epochs=None, steps=(3, 9), algorithm=MOASHA())
    with pytest.raises(InvalidArgumentError, match=r"'epochs' is no budget of a search .* run\(steps=90\)"):
        search.run(epochs=3)
    with pytest.raises(InvalidArgumentError, match="'steps' is no budget of a search"):
        make_search(tmp_path).run(steps=3)
    assert search.run(steps=18, progress=False, report=False).spent >= 18
