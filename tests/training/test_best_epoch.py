"""The best epoch of a training in place of the last: its values, its weights, and that resuming changes neither."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from ConfigSpace import ConfigurationSpace, Float
from lightning.pytorch.callbacks import EarlyStopping

from lightning_primo import PBT, Metric, ParameterCount, Search, SuccessiveHalving
from lightning_primo.errors import InvalidArgumentError
from lightning_primo.layout import CHECKPOINT, trial_directory
from lightning_primo.problem.objective import Objective
from lightning_primo.training import run_job
from lightning_primo.training.checkpoint.best_epoch import counted_epoch
from lightning_primo.training.checkpoint.record import read_record, read_weights
from lightning_primo.training.replicates.run import run_trial
from tests.tiny import Data, Net, same_state
from tests.training.jobs import make_job
from tests.training.test_take_over import fork_job, trained

# The loss of each epoch; `marker`, a buffer, has the number of the epoch that the weights are of.
LOSSES = [0.5, 0.2, 0.4, 0.3, 0.1]
BEST = (Metric("val_loss", at="best"), Metric("other", mode="max"))
LAST = (Metric("val_loss"), Metric("other", mode="max"))


class Scripted(Net):
    """Logs losses as they are told, whatever it learns."""

    def __init__(self, lr: float = 0.02, offset: float = 0.0) -> None:
        super().__init__(lr)
        self.offset = offset
        self.register_buffer("marker", torch.zeros(()))

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.log("val_loss", LOSSES[self.current_epoch] + self.offset, batch_size=4)
        self.log("other", float(self.current_epoch), batch_size=4)

    def on_validation_epoch_end(self) -> None:
        self.marker.fill_(self.current_epoch + 1)


def job(directory: Path, epoch: int, **fields: Any) -> Any:
    return make_job(directory, epoch, module=Scripted, data=Data(), **{"objectives": BEST, **fields})


@pytest.mark.parametrize(
    ("values", "epoch", "expected"),
    [
        ([0.5, 0.2, 0.4], 3, 2),
        ([0.5, 0.2, 0.4], 1, 1),
        ([0.2, 0.2], 2, 1),  # of equally good ones the first
        ([math.nan, 0.3, math.nan], 3, 2),
        ([math.nan], 1, 1),
        ([], 0, 0),
    ],
)
def test_the_epoch_that_counts(values: list[float], epoch: int, expected: int) -> None:
    curve = {number: {"loss": value, "size": 3.0} for number, value in enumerate(values, 1)}
    assert counted_epoch(curve, epoch, Objective(name="loss")) == expected
    assert counted_epoch(curve, epoch, None) == epoch
    flipped = {number: {"loss": -value, "size": 3.0} for number, value in enumerate(values, 1)}
    assert counted_epoch(flipped, epoch, Objective(name="loss", mode="max")) == expected


def test_an_epoch_counts_only_with_all_its_values() -> None:
    curve = {1: {"loss": 0.1, "accuracy": math.nan}, 2: {"loss": 0.2, "accuracy": 0.5}}
    assert counted_epoch(curve, 2, Objective(name="loss")) == 2


def test_by_default_the_last_epoch_counts(tmp_path: Path) -> None:
    evaluation = run_job(job(tmp_path, 3, objectives=LAST))
    assert evaluation.losses == pytest.approx((0.4, -2.0))
    assert "best_epoch" not in evaluation.measurements
    assert read_weights(tmp_path)["marker"] == 3


def test_values_and_weights_are_those_of_the_best_epoch_across_promotions(tmp_path: Path) -> None:
    first = run_job(job(tmp_path, 3))
    assert first.losses == pytest.approx((0.2, -1.0))  # all metrics of that epoch
    assert first.epoch == 3
    assert first.measurements["best_epoch"] == 2
    assert {epoch: losses[0] for epoch, losses in first.curve.items()} == pytest.approx({1: 0.5, 2: 0.2, 3: 0.2})
    assert read_weights(tmp_path)["marker"] == 2
    second = run_job(job(tmp_path, 4, start_epoch=3))
    assert second.losses == pytest.approx((0.2, -1.0))  # still of the epoch before the promotion
    assert second.cost == 1
    assert read_weights(tmp_path)["marker"] == 2
    third = run_job(job(tmp_path, 5, start_epoch=4))
    assert third.losses == pytest.approx((0.1, -4.0))
    assert third.measurements["best_epoch"] == 5
    assert read_weights(tmp_path)["marker"] == 5


def test_a_training_goes_on_from_its_last_epoch_bit_for_bit(tmp_path: Path) -> None:
    at_once = run_job(job(tmp_path / "once", 5))
    parts = [run_job(job(tmp_path / "parts", epoch, start_epoch=epoch - 1)) for epoch in range(1, 6)]
    assert parts[-1].losses == at_once.losses
    once, stepwise = (torch.load(tmp_path / name / CHECKPOINT, weights_only=True) for name in ("once", "parts"))
    assert same_state(once["state_dict"], stepwise["state_dict"])
    assert same_state(once["optimizer_states"], stepwise["optimizer_states"])
    assert same_state(once["callbacks"]["Recorder"]["best_weights"], stepwise["callbacks"]["Recorder"]["best_weights"])
    plain = run_job(job(tmp_path / "last", 5, objectives=LAST))  # looking back changes nothing of the training
    assert same_state(torch.load(tmp_path / "last" / CHECKPOINT, weights_only=True)["state_dict"], once["state_dict"])
    assert plain.cost == at_once.cost


def test_a_training_that_is_stopped_early_has_its_best_epoch(tmp_path: Path) -> None:
    stopping = EarlyStopping("val_loss", patience=2)
    evaluation = run_job(job(tmp_path, 5, trainer={"callbacks": [stopping]}))
    assert (evaluation.epoch, evaluation.finished) == (4, True)
    assert evaluation.losses == pytest.approx((0.2, -1.0))
    assert read_weights(tmp_path)["marker"] == 2
    record = read_record(tmp_path)
    assert record is not None
    assert record.epoch == 4


def test_a_constraint_may_choose_the_epoch_too(tmp_path: Path) -> None:
    bound = Metric("val_loss", at="best", at_most=0.25)
    evaluation = run_job(job(tmp_path, 3, objectives=(Metric("other", mode="max"),), constraints=(bound,)))
    assert evaluation.losses == (-1.0,)
    assert evaluation.measurements["val_loss"] == pytest.approx(0.2)
    assert {epoch: values["val_loss"] for epoch, values in evaluation.constraints.items()} == pytest.approx(
        {1: 0.5, 2: 0.2, 3: 0.2}
    )


def test_a_search_hands_out_the_best_weights(tmp_path: Path) -> None:
    space = ConfigurationSpace(seed=0)
    space.add(Float("offset", (0.0, 1.0)))
    search = Search(
        space,
        module=Scripted,
        datamodule=Data(),
        objectives=[Metric("val_loss", at="best"), ParameterCount()],
        epochs=(1, 4),
        directory=tmp_path / "search",
        algorithm=SuccessiveHalving(eta=2),
        trainer={"accelerator": "cpu", "logger": False},
    )
    result = search.run(full_trainings=4, progress=False)
    best = result.front[0]
    assert best.values["val_loss"] == pytest.approx(0.2 + best.config["offset"])
    assert best.measurements["best_epoch"] == 2
    assert result.load(best).marker == 2
    folder = result.export(tmp_path / "front") / f"trial_{best.id:05d}"
    assert torch.load(folder / "state_dict.pt", weights_only=True)["marker"] == 2
    assert Scripted.load_from_checkpoint(folder / "model.ckpt").marker == 2
    assert "best_epoch" in result.to_pandas().columns


def test_one_that_takes_over_a_training_has_the_best_epoch_of_all_of_it(tmp_path: Path) -> None:
    options: dict[str, Any] = {"module": Scripted, "objectives": BEST}
    trained(tmp_path, 3, **options)
    child = trial_directory(tmp_path, 1)
    first = run_job(fork_job(tmp_path, 3, 4, {"lr": 0.05}, **options))
    assert first.ok, first.reason
    assert first.losses == pytest.approx((0.2, -1.0))  # of its parent
    assert first.measurements["best_epoch"] == 2
    assert read_weights(child)["marker"] == 2
    second = run_job(make_job(child, 5, config={"lr": 0.05}, start_epoch=4, trial_id=1, **options))
    assert second.losses == pytest.approx((0.1, -4.0))
    assert read_weights(child)["marker"] == 5


def test_a_population_is_compared_by_its_best_epochs(tmp_path: Path) -> None:
    space = ConfigurationSpace(seed=0)
    space.add(Float("lr", (0.001, 0.1)))
    search = Search(
        space,
        module=Scripted,
        datamodule=Data(),
        objectives=[Metric("val_loss", at="best")],
        epochs=(1, 4),
        directory=tmp_path,
        algorithm=PBT(population=4, share=0.25),
        trainer={"accelerator": "cpu", "logger": False},
    )
    result = search.run(full_trainings=4, progress=False, report=False)
    assert any(len(trial.schedule) > 1 for trial in result.trials)
    for trial in result.trials:
        assert trial.outcome == "ok", trial.reason
        assert trial.values["val_loss"] == pytest.approx(min(LOSSES[: trial.epoch]))
    assert result.load(result.front[0]).marker == 2


def test_the_best_epoch_of_each_replicate_counts(tmp_path: Path) -> None:
    made = job(tmp_path / "00004", 5, max_epochs=5)
    told = run_trial(replace(made, options=replace(made.options, repeats=2)))
    assert told.losses == pytest.approx((0.1, -4.0))
    assert told.deviations == {"val_loss": 0.0, "other": 0.0}
    patient = EarlyStopping("val_loss", patience=2)
    stopped = replace(made.options, repeats=2, trainer={"accelerator": "cpu", "callbacks": [patient]})
    early = run_trial(replace(made, directory=tmp_path / "00006", options=stopped))
    assert (early.epoch, early.finished, early.cost) == (4, True, 8)
    assert early.losses == pytest.approx((0.2, -1.0))
    assert early.measurements["replicates"] == 2


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"objectives": [Metric("a", at="best"), Metric("b", at="best")]}, ["'a' and 'b'", 'at="best"', "one epoch"]),
        (
            {"objectives": [Metric("a", at="best")], "constraints": [Metric("b", at="best", at_most=1.0)]},
            ["'a' and 'b'", "one epoch"],
        ),
    ],
)
def test_one_metric_at_most_chooses_the_epoch(tmp_path: Path, arguments: Any, words: list[str]) -> None:
    space = ConfigurationSpace(seed=0)
    space.add(Float("lr", (0.0, 1.0)))
    with pytest.raises(InvalidArgumentError) as caught:
        Search(space, module=Net, epochs=(1, 3), directory=tmp_path, **arguments)
    assert all(word in str(caught.value) for word in words), str(caught.value)


@pytest.mark.parametrize("at", ["first", 3, None, ["best"]])
def test_an_epoch_is_the_last_or_the_best(at: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="'at' of objective 'loss' must be 'last' or 'best'"):
        Metric("loss", at=at)
