"""What a search is given beside its space: configurations to try first, results that are known, an earlier search."""

from __future__ import annotations

from pathlib import Path

import pytest

from lightning_primo import FLOPs, Metric, ParameterCount, RandomSearch, read_result
from lightning_primo.errors import InvalidArgumentError, MetricNotLoggedError, PrimoError
from lightning_primo.layout import checkpoint_file, trial_directory
from lightning_primo.problem.trial import Proposal
from lightning_primo.store import read_events
from tests.search.resume_script import make_search

FIRST = {"lr": 0.02, "width": 5, "regularised": False}
KNOWN = {"lr": 0.01, "width": 3, "regularised": False}
N_PARAMETERS = 3 * 3 + 3 + 3 + 1  # of KNOWN


def test_first_and_known_trials_of_a_search(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def search(directory: Path) -> object:
        return make_search(
            directory,
            algorithm=RandomSearch(),
            first=[FIRST, {"lr": 0.03}],
            known=[(KNOWN, {"val_loss": 1e-9})],
        )

    result = search(tmp_path / "a").run(trials=3, progress=False)  # type: ignore[attr-defined]
    assert "1 of 1 result is known here" in capsys.readouterr().err
    known, first, second, third = result.trials
    assert known.known
    assert known.values == {"val_loss": 1e-9, "parameters": N_PARAMETERS}  # computed, nothing trained
    assert (first.config, first.operation) == (FIRST, "given")
    assert second.config["lr"] == 0.03
    assert third.operation == "sample"
    assert result.full_trainings == 3
    assert known in result.front

    # It is durable: the same call has nothing to do, and a search in two runs is the same.
    assert search(tmp_path / "a").run(trials=3, progress=False).to_pandas().equals(result.to_pandas())  # type: ignore[attr-defined]
    search(tmp_path / "b").run(trials=1, progress=False)  # type: ignore[attr-defined]
    again = search(tmp_path / "b").run(trials=3, progress=False)  # type: ignore[attr-defined]
    assert [t.config for t in again.trials] == [t.config for t in result.trials]
    assert [t.values for t in again.trials] == [t.values for t in result.trials]

    # It has no weights, and whatever needs weights goes without or says so.
    assert not trial_directory(tmp_path / "a", 0).exists()
    with pytest.raises(PrimoError, match="was known already"):
        result.load(known)
    exported = result.export(tmp_path / "exported", trials=[known, first])
    assert not (exported / "trial_00000" / "state_dict.pt").exists()
    assert (exported / "trial_00000" / "config.json").exists()
    assert (exported / "trial_00001" / "state_dict.pt").exists() == checkpoint_file(
        trial_directory(tmp_path / "a", 1)
    ).exists()


def test_a_search_goes_on_differently(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    objectives = [Metric("val_loss")]
    old = make_search(tmp_path / "old", algorithm=RandomSearch(), objectives=objectives).run(trials=2, progress=False)
    new = make_search(
        tmp_path / "new",
        objectives=[Metric("val_loss"), ParameterCount(), FLOPs()],
        algorithm=RandomSearch(),
        seed=1,
        continues=tmp_path / "old",
    ).run(trials=1, progress=False)
    assert "2 of 2 results are known here" in capsys.readouterr().err
    assert [trial.config for trial in new.trials[:2]] == [trial.config for trial in old.trials]
    for before, after in zip(old.trials, new.trials, strict=False):
        assert after.values["val_loss"] == before.values["val_loss"]
        assert after.curve[1]["val_loss"] == before.curve[1]["val_loss"]
        assert after.values["parameters"] > 0
        assert after.values["flops"] > 0
    assert len(new.trials) == 3
    assert new.full_trainings == 1
    assert {trial.id for trial in read_result(tmp_path / "new").front} == {trial.id for trial in new.front}


def test_the_first_batch_is_that_of_the_first_configuration(tmp_path: Path) -> None:
    built: list[dict[str, object]] = []

    def build(config: dict[str, object]) -> object:
        from tests.search.resume_script import build

        built.append(dict(config))
        return build(config)

    search = make_search(tmp_path, module=build, objectives=[Metric("val_loss")], first=[FIRST])
    assert search.preflight() == {"val_loss"}
    assert FIRST in built
    search.run(epochs=1, progress=False)
    proposals = [event for event, _ in read_events(tmp_path) if isinstance(event, Proposal)]
    assert proposals[0].config == FIRST
    assert proposals[0].epoch == 1  # the lowest rung, as PriMO begins there


def test_a_first_batch_that_fails_leaves_a_directory_that_may_become_another_search(tmp_path: Path) -> None:
    rest = {"algorithm": RandomSearch(), "first": [FIRST]}
    wrong = make_search(tmp_path, objectives=[Metric("val_los")], known=[(KNOWN, {"val_los": 1.0})], **rest)
    with pytest.raises(MetricNotLoggedError):
        wrong.run(epochs=1, progress=False)
    mended = make_search(tmp_path, objectives=[Metric("val_loss")], known=[(KNOWN, {"val_loss": 1.0})], **rest)
    result = mended.run(epochs=1, progress=False)
    assert [trial.operation for trial in result.trials] == ["known", "given"]


def test_the_first_batch_is_of_a_configuration_that_keeps_the_bounds(tmp_path: Path) -> None:
    bound = [ParameterCount(at_most=N_PARAMETERS)]
    search = make_search(tmp_path, objectives=[Metric("val_loss")], constraints=bound, first=[FIRST])
    assert search.preflight() == {"val_loss"}


def test_what_cannot_be_given_is_refused_before_anything_begins(tmp_path: Path) -> None:
    for wrong in ({"first": [{"lr": 7}]}, {"known": [(KNOWN, {"loss": 1})]}, {"continues": tmp_path / "nowhere"}):
        with pytest.raises(InvalidArgumentError):
            make_search(tmp_path / "new", **wrong)
    assert not (tmp_path / "new").exists()


def test_a_value_of_another_epoch_is_not_comparable(tmp_path: Path) -> None:
    best = [Metric("val_loss", at="best")]
    make_search(tmp_path / "old", algorithm=RandomSearch(), objectives=best).run(trials=1, progress=False)
    given = [("known", tmp_path / "old"), ("continues", tmp_path / "old"), ("known", read_result(tmp_path / "old"))]
    for argument, old in given:
        with pytest.raises(InvalidArgumentError, match="'at' of 'val_loss' was 'best' and is 'last'"):
            make_search(tmp_path / "new", objectives=[Metric("val_loss")], **{argument: old})
