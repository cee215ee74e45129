from __future__ import annotations

import itertools
import shutil
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from ConfigSpace import ConfigurationSpace, Float

from lightning_primo import Metric, RandomSearch, Search
from lightning_primo.errors import TrialFailedError
from lightning_primo.problem.trial import Evaluation, Status
from lightning_primo.search.futility import Futility
from tests.tiny import Data, Net


def told(
    status: Status = Status.OK, *, signature: str = "", cost: float = 1.0, trial_id: int | None = None
) -> Evaluation:
    number = next(_numbers) if trial_id is None else trial_id
    return Evaluation(
        trial_id=number, epoch=1, losses=(0.5,), status=status, reason="why", signature=signature, cost=cost
    )


_numbers = itertools.count()


def n_until_it_stops(*evaluations: Evaluation, most: int = 200) -> int:
    """How many of the last of `evaluations`, after the others, are let through."""
    *before, last = evaluations
    futility = Futility()
    for evaluation in before:
        futility.add(evaluation)
    let_through = []
    with suppress(TrialFailedError):
        for _ in range(most):
            futility.add(last)
            let_through.append(last)
            futility.check(last)
    return len(let_through)


def test_what_the_user_has_stopped_says_nothing_of_the_others() -> None:
    assert n_until_it_stops(told(Status.STOPPED)) == 200


@pytest.mark.parametrize("status", [Status.DIVERGED, Status.TIMEOUT, Status.OUT_OF_MEMORY])
def test_trials_that_all_end_alike_without_a_cause_of_their_own_stop_the_search(status: Status) -> None:
    assert n_until_it_stops(told(status)) == 10
    assert n_until_it_stops(told(), told(status)) == 30
    assert n_until_it_stops(told(status), told(), told(status)) == 30


def test_exceptions_stop_it_sooner_and_others_never() -> None:
    error = told(Status.ERROR, signature="ValueError at f.py:3")
    assert n_until_it_stops(error) == 3
    assert n_until_it_stops(told(), error) == 20
    assert n_until_it_stops(*[told(Status.ERROR, signature="another that was mended")] * 3, error) == 3
    assert n_until_it_stops(told()) == 200
    assert n_until_it_stops(told(Status.REJECTED, cost=0.0)) == 50


def test_promotions_that_all_fail_alike_stop_it_whatever_is_trained_between_them() -> None:
    futility = Futility()

    def tell(trial_id: int, signature: str = "") -> None:
        status = Status.ERROR if signature else Status.OK
        evaluation = told(status, signature=signature, trial_id=trial_id)
        futility.add(evaluation)
        futility.check(evaluation)

    def promote(trials: Iterable[int], signature: str = "") -> None:
        for trial in trials:
            tell(trial)
            tell(trial, signature)

    promote(range(2), "FileExistsError at f.py:3")
    with pytest.raises(TrialFailedError, match="the first 3 promotions of trials all failed in the same way"):
        promote([2], "FileExistsError at f.py:3")
    promote([3])
    promote(range(4, 23), "FileExistsError at f.py:3")
    with pytest.raises(TrialFailedError, match="the last 20 promotions of trials"):
        promote([23], "FileExistsError at f.py:3")


def test_promotions_that_failed_before_do_not_stop_a_search_that_goes_on_and_trains_another_trial() -> None:
    futility = Futility()
    for trial in range(3):  # read from the search's directory
        for signature in ("", "FileExistsError at f.py:3"):
            status = Status.ERROR if signature else Status.OK
            futility.add(told(status, signature=signature, trial_id=trial))
    trained = told(Status.OK, trial_id=3)
    futility.add(trained)
    futility.check(trained)


def make(directory: Path, module: Any, **options: Any) -> Search:
    space = ConfigurationSpace(seed=0)
    space.add(Float("lr", (1e-3, 1e-1), log=True))
    return Search(
        space,
        module=module,
        datamodule=Data(),
        objectives=[Metric("val_loss")],
        algorithm=RandomSearch(),
        epochs=(1, 1),
        directory=directory,
        trainer={"accelerator": "cpu"},
        **options,
    )


class Nan(Net):
    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.log("val_loss", float("nan"))


def test_a_search_whose_metric_is_never_a_number_ends(tmp_path: Path) -> None:
    with pytest.raises(TrialFailedError, match=r"first 10 trials all ended as 'diverged'.*val_loss is nan"):
        make(tmp_path, Nan).run(trials=50, progress=False)


class Fails(Net):
    broken = True

    def on_train_start(self) -> None:
        if self.broken and not self.trainer.fast_dev_run:  # type: ignore[attr-defined]
            raise ValueError("the first mistake")


def test_a_second_mistake_is_found_as_soon_as_the_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    search = make(tmp_path, Fails)
    with pytest.raises(TrialFailedError, match=r"first 3 trials .*the first mistake"):
        search.run(trials=50, progress=False)
    monkeypatch.setattr(Fails, "broken", False)
    monkeypatch.setattr(Fails, "configure_optimizers", lambda self: 1 / 0)
    with pytest.raises(TrialFailedError, match=r"last 3 trials .*division by zero"):
        search.run(trials=50, progress=False)
    monkeypatch.undo()
    monkeypatch.setattr(Fails, "broken", False)
    assert search.run(trials=8, progress=False).front


class Forgetful(Net):
    """Logs nothing where the learning rate is as `forgets` says."""

    forgets: Any = staticmethod(lambda lr: False)

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        if self.trainer.fast_dev_run or not self.forgets(self.lr):  # type: ignore[attr-defined]
            super().validation_step(batch, batch_idx)


def test_one_configuration_that_logs_nothing_does_not_block_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    search = make(tmp_path, Forgetful)
    first = search.run(trials=1, progress=False).trials[0].config["lr"]
    monkeypatch.setattr(Forgetful, "forgets", staticmethod(lambda lr: lr != first))
    trials = search.run(trials=4, progress=False).trials
    assert [trial.outcome for trial in trials] == ["ok", "error", "error", "error"]
    assert "'val_loss' is an objective" in trials[1].reason


def test_nor_does_the_very_first_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Forgetful, "forgets", staticmethod(lambda lr: True))
    search = make(tmp_path, Forgetful)
    with pytest.raises(TrialFailedError, match="trial 0 could not be read"):
        search.run(trials=5, progress=False)
    seen: list[float] = []
    monkeypatch.setattr(Forgetful, "forgets", staticmethod(lambda lr: seen.append(lr) or lr == seen[0]))
    result = search.run(trials=3, progress=False)
    assert [trial.outcome for trial in result.trials] == ["error", "ok", "ok"]


class Removes(Net):
    def on_train_epoch_start(self) -> None:
        if not self.trainer.fast_dev_run:  # type: ignore[attr-defined]
            shutil.rmtree(self.trainer.default_root_dir)


def test_a_trial_whose_folder_is_removed_is_not_trained_for_ever(tmp_path: Path) -> None:
    search = make(tmp_path, Removes)
    search.options.trainer["logger"] = False  # type: ignore[index]
    with pytest.raises(TrialFailedError, match="does the project's code remove or move that folder"):
        search.run(trials=50, progress=False)
    assert len(search.result().trials) == 3
