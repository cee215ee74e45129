"""Bounds on what is trained in a search: who is on the front, what is said, and what a resumed search makes of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ConfigSpace import ConfigurationSpace, Float
from matplotlib import colors

from lightning_primo import Metric, ParameterCount, PriMO, Search, SuccessiveHalving, read_result
from lightning_primo.errors import InvalidArgumentError
from lightning_primo.results.pictures.front_plot import _INFEASIBLE
from tests.coarse import search_coarsely
from tests.search.tuned import TRAINER, events
from tests.tiny import Data, Net


class Scripted(Net):
    """Logs a loss and an accuracy that fall and rise with the epoch, whatever it learns."""

    def __init__(self, loss: float = 0.0, accuracy: float = 0.0) -> None:
        super().__init__()
        self.loss_at_the_end, self.accuracy = loss, accuracy

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        left = 1.0 / (self.current_epoch + 1)
        self.log("val_loss", self.loss_at_the_end + left, batch_size=4)
        self.log("val_acc", self.accuracy - 0.5 * left, batch_size=4)


def make(directory: Path, **changes: Any) -> Search:
    space = ConfigurationSpace(seed=0)
    space.add(Float("loss", (0.0, 1.0)), Float("accuracy", (0.5, 1.5)))
    return Search(
        space,
        module=Scripted,
        datamodule=Data(),
        trainer=TRAINER,
        **{
            "objectives": [Metric("val_loss", at_most=1.25), ParameterCount()],
            "constraints": [Metric("val_acc", mode="max", at_least=0.9)],
            "epochs": (1, 2),
            "directory": directory,
            "algorithm": SuccessiveHalving(eta=2),
            **changes,
        },
    )


def feasible(config: Any) -> bool:
    return config["loss"] + 0.5 <= 1.25 and config["accuracy"] - 0.25 >= 0.9


def test_infeasible_trials_are_on_no_front_and_told_of(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = make(tmp_path).run(full_trainings=12)
    full = [trial for trial in result.trials if trial.trained_fully]
    for trial in full:
        assert trial.feasible == feasible(trial.config)
        assert trial.measurements["val_acc"] == pytest.approx(trial.config["accuracy"] - 0.25)
    infeasible = [trial for trial in full if not trial.feasible]
    assert infeasible
    assert result.front
    assert all(trial.feasible for trial in result.front)
    assert result.infeasible == tuple(infeasible)
    assert f"{len(infeasible)} infeasible, on no front (trial {infeasible[0].id}, val_" in result.summary()
    assert f", {len(infeasible)} infeasible | hypervolume" in capsys.readouterr().err
    table = result.to_pandas().set_index("id")
    assert not table.loc[[trial.id for trial in infeasible], "on_front"].any()
    assert table.loc[infeasible[0].id, "status"] == "ok"
    assert "at_least = 0.9" in " ".join(table["reason"]) or "at_most = 1.25" in " ".join(table["reason"])
    # what its hypervolume is over: the feasible ones, up to the bound
    assert result.reference["val_loss"] == 1.25
    told = read_result(tmp_path)
    assert [trial.id for trial in told.front] == [trial.id for trial in result.front]
    assert told.hypervolume() == result.hypervolume()
    axes = result.plot_front().axes[0]
    labels = {c.get_label(): c for c in axes.collections}
    grey = labels[f"infeasible ({len(infeasible)})"]
    assert tuple(grey.get_facecolor()[0]) == colors.to_rgba(_INFEASIBLE)
    assert f"front ({len(result.front)})" in labels


def test_with_nothing_feasible_there_is_no_front(tmp_path: Path) -> None:
    bound = [Metric("val_acc", mode="max", at_least=9.0)]
    result = make(tmp_path, constraints=bound, objectives=[Metric("val_loss")]).run(trials=3, progress=False)
    assert result.front == ()
    assert result.hypervolume() == 0.0
    assert "infeasible, on no front" in result.summary()
    assert "no trial was trained" not in result.summary()


@pytest.mark.parametrize("algorithm", [SuccessiveHalving(eta=2), PriMO(n_init=2, pause=None)])
def test_a_search_that_is_gone_on_with_is_one_that_was_never_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, algorithm: Any
) -> None:
    search_coarsely(monkeypatch.setattr)
    make(tmp_path / "once", algorithm=algorithm).run(full_trainings=6, progress=False)
    for full_trainings in (2, 4, 6):
        make(tmp_path / "parts", algorithm=algorithm).run(full_trainings=full_trainings, progress=False)
    once, parts = (
        [(e.trial_id, e.epoch, getattr(e, "losses", None), getattr(e, "constraints", None)) for e in events(directory)]
        for directory in (tmp_path / "once", tmp_path / "parts")
    )
    assert once == parts
    assert any(constraints for *_, constraints in once)


def test_a_bound_belongs_to_what_a_search_is(tmp_path: Path) -> None:
    make(tmp_path).run(trials=1, progress=False)
    with pytest.raises(Exception, match="val_acc") as caught:
        make(tmp_path, constraints=[Metric("val_acc", mode="max", at_least=0.5)]).run(trials=1, progress=False)
    assert "at_least" in str(caught.value)


def test_a_constraint_that_nobody_logs_is_found_before_the_search(tmp_path: Path) -> None:
    with pytest.raises(Exception, match="val_accuracy"):
        make(tmp_path, constraints=[Metric("val_accuracy", at_least=0.5)]).run(trials=1, progress=False)


@pytest.mark.parametrize(
    ("constraints", "words"),
    [
        ([Metric("val_acc")], ["'constraints'", "'val_acc'", "without a bound"]),
        ([Metric("val_loss", at_most=1.0)], ["'val_loss'", "2 times"]),
        ([Metric], ["class Metric", "Metric(...)"]),
    ],
)
def test_errors_name_what_is_wrong(tmp_path: Path, constraints: Any, words: list[str]) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        make(tmp_path, constraints=constraints)
    assert all(word in str(caught.value) for word in words), str(caught.value)
