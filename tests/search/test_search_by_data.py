"""Searches whose trainings are counted in fractions of the data."""

from __future__ import annotations

import signal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from lightning_primo import MOASHA, PB2, PBT, SHEMOA, PriMO, from_optuna, read_result
from lightning_primo.algorithms import Algorithm
from lightning_primo.errors import InvalidArgumentError, SearchMismatchError
from lightning_primo.problem import DataFractions, Fidelity
from lightning_primo.problem.trial import Evaluation, Proposal
from lightning_primo.store import read_events
from tests.search.resume_script import make_search
from tests.search.test_resume import Searches, assert_same, history

FULL_TRAININGS = 4
KILLS = [
    ("training", 2),  # before the first checkpoint
    ("saved", 2),
    ("evaluated", 1),
    ("saved", 10),  # of a promotion
    ("told", 1),
]
TRAINER: dict[str, Any] = {"accelerator": "cpu", "logger": False, "max_epochs": 3}


def by_data(directory: Path, **changes: Any) -> Any:
    return make_search(directory, **{"epochs": None, "data": (1 / 3, 1), "trainer": TRAINER, **changes})


@pytest.fixture(scope="module")
def undisturbed(searches: Searches, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("undisturbed")
    assert searches.run(directory, FULL_TRAININGS, search="data") == 0, searches.log.read_text()
    return directory


def test_killed_at_any_moment_it_ends_as_if_it_never_was(searches: Searches, undisturbed: Path, tmp_path: Path) -> None:
    expected = history(undisturbed)
    for moment, number in KILLS:
        code = searches.run(
            tmp_path, FULL_TRAININGS, search="data", moment=moment, number=number, signal=signal.SIGKILL
        )
        assert code == -signal.SIGKILL, f"{moment} {number}: {searches.log.read_text()}"
        found = history(tmp_path)
        assert found == expected[: len(found)], f"after {moment} {number}"
    assert searches.run(tmp_path, FULL_TRAININGS, search="data") == 0, searches.log.read_text()
    assert_same(tmp_path, undisturbed)


@pytest.mark.slow
@pytest.mark.parametrize("search", ["folds by data", "bulk-and-cut by data"])
def test_killed_with_folds_or_parents_it_ends_as_if_it_never_was(
    searches: Searches, tmp_path: Path, search: str
) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert searches.run(whole, 9, search=search) == 0, searches.log.read_text()
    for moment, number in [("training", 3), ("saved", 9), ("saved", 5), ("evaluated", 2), ("told", 3)]:
        code = searches.run(killed, 9, search=search, moment=moment, number=number, signal=signal.SIGKILL)
        assert code == -signal.SIGKILL, f"{moment} {number}: {searches.log.read_text()}"
    assert searches.run(killed, 9, search=search) == 0, searches.log.read_text()
    assert_same(killed, whole)


def test_a_promotion_costs_all_of_its_rung(undisturbed: Path) -> None:
    events = [event for event, _ in read_events(undisturbed)]
    proposals = [event for event in events if isinstance(event, Proposal)]
    promoted = {p.trial_id for i, p in enumerate(proposals) if p.trial_id in {q.trial_id for q in proposals[:i]}}
    assert promoted
    assert all(proposal.start_epoch == 0 for proposal in proposals)
    result = read_result(undisturbed)
    assert result.full_trainings == sum(p.epoch for p in proposals) / 3
    for trial in result.trials:
        told = [event for event in events if isinstance(event, Evaluation) and event.trial_id == trial.id]
        assert [list(evaluation.curve) for evaluation in told] == [[evaluation.epoch] for evaluation in told]
        if trial.id in promoted:
            assert (trial.cost, trial.amount) == (4, 1)
            assert set(trial.curve) == {1, 3}


def test_what_people_see_is_in_fractions(undisturbed: Path, tmp_path: Path) -> None:
    result = read_result(undisturbed)
    assert result.problem.fidelity == Fidelity(DataFractions(Fraction(1, 3)), 1, 3)
    summary = result.summary()
    assert f"\n{result.full_trainings:.4g} full trainings\n" in summary
    assert "trained partly, to 1/3 of the data: " in summary
    table = result.to_pandas()
    assert "epoch" not in table
    assert set(table["data"]) == {1 / 3, 1.0}
    assert table["cost"].sum() == pytest.approx(result.full_trainings)
    curve = result.hypervolume_over_cost()
    assert list(curve)[:2] == ["data", "full_trainings"]
    assert curve["data"].to_numpy() == pytest.approx(curve["full_trainings"].to_numpy())
    trial = next(trial for trial in result.trials if trial.trained_fully)
    assert (trial.epoch, trial.amount) == (3, 1.0)
    assert repr(trial).endswith("all of the data>")
    axes = result.plot_hypervolume().axes[0]
    assert axes.get_xlabel() == "full trainings"
    assert not axes.child_axes  # which would say the same
    study = result.to_optuna()
    assert study.user_attrs["unit"] == ["data", "1/3"]
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    folder = result.to_tensorboard(tmp_path / "tensorboard") / f"trial_{trial.id:05d}"
    events = EventAccumulator(str(folder)).Reload()
    assert [event.step for event in events.Scalars("val_loss")] == [1, 3]


def test_optuna_gives_the_fractions_back(undisturbed: Path) -> None:
    pytest.importorskip("optuna")
    found = from_optuna(read_result(undisturbed).to_optuna())
    assert found.problem.fidelity == Fidelity(DataFractions(Fraction(1, 3)), 1, 3)


def test_a_search_goes_on_with_what_it_was_begun_with(undisturbed: Path, tmp_path: Path) -> None:
    with pytest.raises(SearchMismatchError, match=r"epochs: stored data \(1/3, 1\) by 1/3, given \(1, 3\)"):
        make_search(undisturbed).result()
    with pytest.raises(SearchMismatchError, match="max_epochs: stored 3, given 4"):
        by_data(undisturbed, trainer={**TRAINER, "max_epochs": 4}).result()
    with pytest.raises(
        InvalidArgumentError, match=r"in fractions of the data \(1/3 to 1 of the data\), and here .* in epochs"
    ):
        make_search(tmp_path, known=undisturbed)
    with pytest.raises(InvalidArgumentError, match="'max_epochs' was 3 and is 4: trainings had another number"):
        by_data(tmp_path, known=undisturbed, trainer={**TRAINER, "max_epochs": 4})


def test_what_is_known_is_known_at_its_fraction(tmp_path: Path, undisturbed: Path) -> None:
    config = {"lr": 0.01, "width": 4, "regularised": False}
    search = by_data(tmp_path, algorithm=MOASHA(), known=[(config, {"val_loss": 0.5}, 1 / 3)])
    search.run(trials=1, progress=False, report=False)
    known = next(trial for trial in search.result().trials if trial.known)
    assert (known.epoch, known.amount) == (1, 1 / 3)
    with pytest.raises(InvalidArgumentError, match=r"the data 0.5; expected a fraction from 1/3, .* a multiple of 1/3"):
        by_data(tmp_path / "other", known=[(config, {"val_loss": 0.5}, 0.5)])
    again = by_data(tmp_path / "again", algorithm=MOASHA(), known=undisturbed)
    again.run(trials=1, progress=False, report=False)
    assert any(trial.known and trial.amount == 1 for trial in again.result().trials)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epochs": (1, 3)}, "got 'epochs' and 'data'; with 'data' the Trainer's 'max_epochs' says how long"),
        ({"steps": (3, 9)}, "got 'steps' and 'data'"),
        ({"data": (1, 1 / 3)}, "'data' must be two fractions"),
        ({"data": (0, 1)}, "'data' must be two fractions"),
        ({"data": 0.5}, "'data' must be two fractions"),
        ({"data": (1 / 3, 2 / 3)}, "'data' must end with 1"),
        ({"data": ("1/x", 1)}, "'data' must be two fractions"),
        ({"data": (2**-20, 1)}, "denominators of at most 10,000"),
    ],
)
def test_fractions_that_are_none(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidArgumentError, match=message):
        by_data(tmp_path, **changes)


@pytest.mark.parametrize(
    ("trainer", "message"),
    [
        ({"max_epochs": None}, r"must set 'max_epochs' .* for example trainer=\{'max_epochs': 10\}"),
        ({"max_epochs": -1}, "'max_epochs' must be a whole number of at least 1"),
        ({"check_val_every_n_epoch": 2}, "so not after the last of 3"),
        ({"check_val_every_n_epoch": None}, "got None"),
        ({"val_check_interval": 4}, "must not set 'val_check_interval' to 4 .* a share such as 0.5"),
        ({"limit_train_batches": 10}, "must not set 'limit_train_batches' to 10 .* as many of any fraction"),
        ({"overfit_batches": 2}, "overfit_batches"),
        ({"max_steps": 9}, "must not set 'max_steps'"),
    ],
)
def test_trainers_that_cannot_be_counted_in_data(tmp_path: Path, trainer: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidArgumentError, match=message):
        by_data(tmp_path, trainer={**TRAINER, **trainer})
    with pytest.raises(InvalidArgumentError, match=message):
        by_data(tmp_path, trainer=lambda config: {**TRAINER, **trainer})


@pytest.mark.parametrize("lengths", [{"epochs": (1, 3)}, {"epochs": None, "steps": (3, 9)}])
def test_max_epochs_are_for_searches_by_data_alone(tmp_path: Path, lengths: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgumentError, match="'trainer' must not set 'max_epochs'"):
        make_search(tmp_path, **lengths, trainer=TRAINER)


@pytest.mark.parametrize("algorithm", [PBT(population=4), PB2(population=4)])
def test_trainings_that_are_taken_over_are_refused(tmp_path: Path, algorithm: Algorithm) -> None:
    with pytest.raises(InvalidArgumentError, match=f"'data' does not go with {type(algorithm).__name__}: .* MOASHA"):
        by_data(tmp_path, algorithm=algorithm)


def test_budgets_are_full_trainings(tmp_path: Path) -> None:
    search = by_data(tmp_path, algorithm=MOASHA())
    for unit in ("epochs", "steps"):
        with pytest.raises(
            InvalidArgumentError, match=rf"'{unit}' is no budget .* data; give run\(full_trainings=10\)"
        ):
            search.run(**{unit: 3})


@pytest.mark.parametrize("algorithm", [PriMO(n_init=2), SHEMOA(full_trainings=3, population_size=2, n_stages=2)])
def test_other_algorithms_spend_what_they_say(tmp_path: Path, algorithm: Algorithm) -> None:
    result = by_data(tmp_path, algorithm=algorithm).run(full_trainings=3, progress=False)
    assert 3 <= result.full_trainings < 4
    assert algorithm.epochs_committed == result.epochs
    assert "fraction of the data" in (tmp_path / "report.html").read_text()
