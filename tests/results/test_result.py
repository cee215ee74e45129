from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pandas as pd
import pytest
import torch
from ConfigSpace import ConfigurationSpace
from lightning.pytorch.callbacks import ModelCheckpoint
from torch.utils.data import DataLoader, TensorDataset

from lightning_primo.errors import CheckpointWarning, InvalidArgumentError, PrimoError, UnknownNameError
from lightning_primo.factory import Factory
from lightning_primo.layout import trial_directory
from lightning_primo.problem import Problem
from lightning_primo.problem.objective import Objective
from lightning_primo.problem.trial import Evaluation, Proposal, Status
from lightning_primo.results.result import Result
from lightning_primo.training.checkpoint.plain_hyperparameters import LEFT_OUT
from tests.results.search_log import ACCURACY, ERROR, LATENCY, PARAMETERS, Log, make_problem, two_objective_log

# With the reference at 1 and 10,000: boxes from the best error to the worst.
HYPERVOLUME = 0.1 * 3 + 0.6 * 2 + 0.1 * 1
TRAINER = {"accelerator": "cpu", "callbacks": [ModelCheckpoint()], "enable_progress_bar": True}


def ids(trials: tuple[Any, ...]) -> list[int]:
    return [trial.id for trial in trials]


def test_front_holds_the_fully_trained_and_is_sorted(tmp_path: Path) -> None:
    result = two_objective_log().result(tmp_path)
    assert ids(result.trials) == list(range(8))
    assert ids(result.front) == [1, 2, 4]


def test_trial_result_of_a_promoted_trial(tmp_path: Path) -> None:
    trial = two_objective_log().result(tmp_path).trials[2]
    assert trial.values == {"val_error": 0.3, "parameters": 100.0}
    assert (trial.epoch, trial.cost, trial.seconds, trial.trained_fully) == (9, 9, 9, True)
    assert trial.curve == {
        1: {"val_error": 0.8, "parameters": 100.0},
        3: {"val_error": 0.6, "parameters": 100.0},
        9: {"val_error": 0.3, "parameters": 100.0},
    }
    assert trial.measurements == {"flops": 7.0, "memory": 3.0}
    assert trial in {trial}
    assert repr(trial) == "<trial 2: val_error 0.3, parameters 100; ok, epoch 9>"


def test_trial_result_of_failed_rejected_and_pending_trials(tmp_path: Path) -> None:
    trials = two_objective_log().result(tmp_path).trials
    assert (trials[3].status, trials[3].epoch, trials[3].cost) == (Status.DIVERGED, 0, 3)
    assert math.isnan(trials[3].values["val_error"])
    assert trials[3].values["parameters"] == 50.0
    assert trials[3].curve == {1: {"val_error": 0.9, "parameters": 50.0}}
    assert (trials[5].status, trials[5].reason, trials[5].values["parameters"]) == (Status.REJECTED, "too large", 1e6)
    assert (trials[7].status, trials[7].values, trials[7].outcome) == (None, {}, "pending")
    assert repr(trials[7]) == "<trial 7: no values; pending, epoch 0>"


def test_a_trial_that_failed_at_a_later_rung_keeps_its_last_good_values(tmp_path: Path) -> None:
    log = Log(make_problem(ACCURACY))
    log.train(0, (0.7,), 3)
    log.train(0, (math.nan,), 7, status=Status.CRASHED, reason="killed")
    trial = log.result(tmp_path).trials[0]
    assert trial.values == {"accuracy": 0.7}
    assert (trial.epoch, trial.cost, trial.status, trial.trained_fully) == (3, 7, Status.CRASHED, False)


def test_a_training_that_ended_by_itself_counts_as_full(tmp_path: Path) -> None:
    log = Log(make_problem(ACCURACY))
    log.train(0, (0.7,), 5, finished=True)
    result = log.result(tmp_path)
    assert ids(result.front) == [0]
    assert result.hypervolume() == pytest.approx(0.7)


def test_three_objectives_one_of_them_maximised(tmp_path: Path) -> None:
    log = Log(make_problem(ACCURACY, ERROR, LATENCY))
    log.train(0, (0.9, 0.5, 4.0))
    log.train(1, (0.8, 0.5, 4.0))  # dominated
    log.train(2, (0.5, 0.5, 1.0))
    log.train(3, (0.5, 0.25, 4.0))
    result = log.result(tmp_path)
    assert ids(result.front) == [0, 3, 2]
    assert result.reference == {"accuracy": 0.0, "val_error": 1.0, "latency": pytest.approx(4.3)}
    # Boxes to the reference (0, 1, 5): the union, by inclusion and exclusion.
    first, second, third = 0.9 * 0.5 * 1, 0.5 * 0.5 * 4, 0.5 * 0.75 * 1
    union = first + second + third - 3 * 0.5 * 0.5 * 1 + 0.5 * 0.5 * 1
    assert result.hypervolume({"latency": 5.0}) == pytest.approx(union)


def test_equal_members_are_all_on_the_front(tmp_path: Path) -> None:
    log = Log(make_problem(ERROR))
    for trial_id in range(3):
        log.train(trial_id, (0.5 if trial_id else 0.6,))
    assert ids(log.result(tmp_path).front) == [1, 2]


def test_noise_alone_puts_no_trial_on_the_front(tmp_path: Path) -> None:
    log = Log(make_problem(ERROR, LATENCY))
    for trial, (error, latency, spread) in enumerate([(0.1, 1.0, 0.03), (0.2, 0.97, 0.03), (0.3, 0.5, 9.0)]):
        log.ask(trial)
        log.tell(trial, (error, latency), deviations={"latency": spread})
    result = log.result(tmp_path)
    assert ids(result.front) == [0]
    assert "1 ±3.0%" in result.summary()
    log.ask(3)
    log.tell(3, (0.05, 2.0), deviations={"latency": 50.0})
    result = log.result(tmp_path)
    assert ids(result.front) == [3, 0]  # an unsteady value takes the place of no other
    assert "2 ±2500.0% unsteady" in result.summary()


def test_summary(tmp_path: Path) -> None:
    result = two_objective_log().result(tmp_path)
    assert result.summary() == (
        "8 trials (5 ok, 1 diverged, 1 rejected, 1 pending)\n"
        "42 epochs = 4.667 full trainings\n"
        "1 trial was trained partly, to 3 of 9 epochs: the front is of those trained fully, a larger budget has more\n"
        "front of 3, hypervolume 1.6 up to val_error 1, parameters 10,000:\n"
        "  trial  val_error  parameters\n"
        "      1        0.2       1,000\n"
        "      2        0.3         100\n"
        "      4        0.9          10"
    )
    assert repr(result) == f"<Result of {str(tmp_path)!r}>\n{result.summary()}"


def test_a_reference_point_that_no_member_is_better_than_is_told(tmp_path: Path) -> None:
    log = Log(make_problem(ERROR, LATENCY))
    log.train(0, (1.5, 2.0))
    log.train(1, (3.5, 1.0))
    result = log.result(tmp_path)
    told = (
        "front of 2, hypervolume 0 up to val_error 1, latency (s) 2.1 (no member is better than this reference point)"
    )
    assert told in result.summary()
    log.train(2, (0.5, 1.5))
    assert "no member" not in log.result(tmp_path).summary()


def test_of_one_objective_the_best_value_is_told_in_place_of_the_hypervolume(tmp_path: Path) -> None:
    log = Log(make_problem(ERROR))
    log.train(0, (1.5,))
    assert "front of 1, best val_error 1.5 (no better than the reference 1)" in log.result(tmp_path).summary()
    assert "9 epochs = 1 full training\n" in log.result(tmp_path).summary()
    log.train(1, (0.25,))
    assert "front of 1, best val_error 0.25:" in log.result(tmp_path).summary()


def test_hypervolume_is_that_of_the_scaled_losses(tmp_path: Path) -> None:
    result = two_objective_log().result(tmp_path)
    assert result.reference == pytest.approx({"val_error": 1.0, "parameters": 1e4})
    assert result.hypervolume() == pytest.approx(HYPERVOLUME)
    assert result.hypervolume({"val_error": 0.5}) == pytest.approx(0.3 * 1 + 0.2 * 1)
    with pytest.raises(UnknownNameError, match="unknown objective in 'reference': 'accuracy'"):
        result.hypervolume({"accuracy": 1.0})


def test_hypervolume_over_cost_has_a_row_per_evaluation(tmp_path: Path) -> None:
    table = two_objective_log().result(tmp_path).hypervolume_over_cost()
    expected = pd.DataFrame(
        {
            "epochs": [9.0, 18.0, 21.0, 27.0, 30.0, 39.0, 39.0, 42.0],
            "full_trainings": [1.0, 2.0, 7 / 3, 3.0, 10 / 3, 13 / 3, 13 / 3, 14 / 3],
            "seconds": [9.0, 18.0, 21.0, 27.0, 30.0, 39.0, 39.0, 42.0],
            "hypervolume": [0.5, 0.8, 0.8, 1.5, 1.5, 1.6, 1.6, 1.6],
        }
    )
    pd.testing.assert_frame_equal(table, expected)


def test_table(tmp_path: Path) -> None:
    table = two_objective_log().result(tmp_path).to_pandas()
    assert set(table.columns[1:4]) == {"lr", "optimizer", "momentum"}
    assert [name for name in table.columns if name not in ("lr", "optimizer", "momentum")] == [
        *("id", "val_error", "parameters", "flops", "memory", "epoch", "cost", "seconds"),
        *("status", "reason", "parent", "operation", "on_front"),
    ]
    assert table["on_front"].tolist() == [False, True, True, False, True, False, False, False]
    assert table["momentum"].isna().tolist() == [True, False, *[True] * 6]
    assert table["status"].tolist() == ["ok", "ok", "ok", "diverged", "ok", "rejected", "ok", "pending"]
    assert table.loc[3, "reason"] == "loss is nan"
    assert table["parent"].isna().tolist() == [True, True, True, True, False, True, True, True]
    assert table.loc[4, "parent"] == 1
    assert table["val_error"].isna().tolist() == [False, False, False, True, False, True, False, True]


def test_colliding_names_are_prefixed(tmp_path: Path) -> None:
    problem = Problem(
        space=ConfigurationSpace({"epoch": (1, 5), "loss": (0.0, 1.0)}),
        objectives=(Objective(name="seconds"), Objective(name="loss")),
        max_epochs=1,
    )
    events: list[tuple[Proposal | Evaluation, float]] = [
        (Proposal(trial_id=0, config={"epoch": 2, "loss": 0.5}, epoch=1), 0.0),
        (Evaluation(trial_id=0, epoch=1, losses=(3.0, 4.0), cost=1.0, measurements={"loss": 7.0, "id": 8.0}), 0.0),
    ]
    table = Result(problem, events, directory=tmp_path, build=Factory(Network)).to_pandas()
    names = ["config.epoch", "config.loss", "objective.seconds", "loss", "measurement.loss", "measurement.id"]
    assert table.columns.tolist()[:7] == ["id", *names]
    assert table.loc[0, ["id", *names]].tolist() == [0, 2, 0.5, 3.0, 4.0, 7.0, 8.0]


@pytest.mark.parametrize("n_failed", [0, 2])
def test_without_any_success(tmp_path: Path, n_failed: int) -> None:
    log = Log(make_problem(ERROR, LATENCY))
    for trial_id in range(n_failed):
        log.train(trial_id, (math.nan, math.nan), 4, status=Status.OUT_OF_MEMORY)
    result = log.result(tmp_path)
    assert result.front == ()
    assert result.reference == {"val_error": 1.0}
    assert result.hypervolume() == 0.0
    assert result.hypervolume(result.reference) == 0.0
    assert result.hypervolume_over_cost()["hypervolume"].tolist() == [0.0] * n_failed
    assert len(result.to_pandas()) == n_failed
    assert result.test().empty
    why = (
        "all 2 trials failed (2 out_of_memory)"
        if n_failed
        else "no trial was trained to the full budget of 9 epochs yet"
    )
    assert repr(result).endswith(why)
    with pytest.raises(PrimoError, match="nothing to export"):
        result.export(tmp_path / "front")
    assert not (tmp_path / "front").exists()


class Network(pl.LightningModule):
    def __init__(self, width: int = 3) -> None:
        super().__init__()
        self.first = torch.nn.Linear(2, width)
        self.second = torch.nn.Linear(width, 1)
        self.dropout = torch.nn.Dropout(0.5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        output: torch.Tensor = self.second(self.dropout(self.first(x)))
        return output

    def test_step(self, batch: list[torch.Tensor], batch_idx: int) -> None:
        Network.n_tests += 1
        self.log("error", self(batch[0]).abs().mean())
        self.log("test_width", float(self.first.out_features))

    n_tests = 0


class WithoutTestStep(pl.LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(2, 1)


class Silent(WithoutTestStep):
    def test_step(self, batch: list[torch.Tensor], batch_idx: int) -> None:
        return None


def loader() -> DataLoader[Any]:
    return DataLoader(TensorDataset(torch.arange(8.0).reshape(4, 2)), batch_size=4)


def searched(
    tmp_path: Path, module: type[pl.LightningModule] = Network, *, test_data: bool = True
) -> tuple[Result, Log]:
    """Two members on the front (trials 0 and 2) with checkpoints; trial 1 is dominated and its checkpoint removed."""
    problem = Problem(
        space=ConfigurationSpace({"width": (1, 8)}), objectives=(ACCURACY, LATENCY), max_epochs=9, min_epochs=1
    )
    log = Log(problem)
    data = {"train": loader(), "test": loader()} if test_data else {"train": loader()}
    build = Factory(module, data)
    for trial_id, (width, values) in enumerate([(4, (0.9, 5.0)), (5, (0.5, 6.0)), (6, (0.7, 1.0))]):
        log.train(trial_id, values, config={"width": width})
        if trial_id != 1:
            folder = trial_directory(tmp_path, trial_id)
            folder.mkdir(parents=True)
            trained = build.module({"width": width})
            torch.save({"state_dict": trained.state_dict(), "epoch": 9}, folder / "last.ckpt")
    log.train(3, (math.nan, math.nan), 2, config={"width": 1}, status=Status.DIVERGED, reason="nan")
    return log.result(tmp_path, build, TRAINER), log


def state_of(tmp_path: Path, trial_id: int) -> dict[str, torch.Tensor]:
    path = trial_directory(tmp_path, trial_id) / "last.ckpt"
    state: dict[str, torch.Tensor] = torch.load(path, weights_only=True)["state_dict"]
    return state


def assert_same(state: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> None:
    assert list(state) == list(expected)
    for name, weights in expected.items():
        torch.testing.assert_close(state[name], weights, rtol=0, atol=0)


def test_load_gives_the_trained_module(tmp_path: Path) -> None:
    result, _ = searched(tmp_path)
    before = torch.get_rng_state()
    module = result.load(result.front[1])
    assert torch.equal(torch.get_rng_state(), before)
    assert isinstance(module, Network)
    assert not module.training
    assert_same(module.state_dict(), state_of(tmp_path, 2))
    assert_same(result.load(2).state_dict(), state_of(tmp_path, 2))


def test_load_says_why_it_cannot(tmp_path: Path) -> None:
    result, _ = searched(tmp_path)
    with pytest.raises(InvalidArgumentError, match="'trial' is 99, but the search has 4 trials, numbered from 0"):
        result.load(99)
    with pytest.raises(PrimoError, match=r"trial 3 has no weights, .* \(diverged: nan\)"):
        result.load(3)
    with pytest.raises(PrimoError, match="checkpoint of trial 1 is gone"):
        result.load(1)
    path = trial_directory(tmp_path, 0) / "last.ckpt"
    torch.save({"state_dict": Network(2).state_dict()}, path)
    with pytest.raises(PrimoError, match="do not fit the module"):
        result.load(0)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(PrimoError, match="cannot be read"):
        result.load(0)


def test_test_runs_the_front_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Network, "n_tests", 0)
    monkeypatch.chdir(tmp_path)
    result, log = searched(tmp_path)
    files = set(tmp_path.rglob("*"))
    table = result.test()
    assert Network.n_tests == 2
    assert set(tmp_path.rglob("*")) - files == {tmp_path / "test.json"}
    assert table["id"].tolist() == [0, 2]
    assert table["test_width"].tolist() == [4.0, 6.0]
    module = result.load(0)
    with torch.no_grad():
        expected = module(torch.arange(8.0).reshape(4, 2)).abs().mean().item()
    assert table.loc[0, "test_error"] == pytest.approx(expected, rel=1e-5)
    again = log.result(tmp_path, Factory(Network, {"train": loader(), "test": loader()}), TRAINER)
    pd.testing.assert_frame_equal(again.test(), table)
    assert Network.n_tests == 2
    assert again.to_pandas()["test_width"].isna().tolist() == [False, True, False, True]


@pytest.mark.parametrize(
    ("module", "test_data", "message"),
    [
        (Network, False, "there is no test data: LoadersDataModule and Network have no test_dataloader"),
        (WithoutTestStep, True, "WithoutTestStep has no test_step"),
        (Silent, True, "Silent logs nothing in its test_step"),
    ],
)
def test_test_says_why_it_cannot(
    tmp_path: Path, module: type[pl.LightningModule], test_data: bool, message: str
) -> None:
    result, _ = searched(tmp_path, module, test_data=test_data)
    with pytest.raises(PrimoError, match=message):
        result.test()


def test_damaged_test_results_are_reported(tmp_path: Path) -> None:
    result, _ = searched(tmp_path)
    (tmp_path / "test.json").write_text("{")
    with pytest.raises(PrimoError, match=r"test\.json' is damaged .* delete it"):
        result.to_pandas()


def test_export(tmp_path: Path) -> None:
    result, _ = searched(tmp_path / "search")
    target = result.export(tmp_path / "out" / "front")
    assert sorted(path.name for path in target.iterdir()) == ["README.md", "front.csv", "trial_00000", "trial_00002"]
    assert [path.name for path in target.parent.iterdir()] == ["front"]
    folder = target / "trial_00002"
    assert_same(torch.load(folder / "state_dict.pt", weights_only=True), state_of(tmp_path / "search", 2))
    assert json.loads((folder / "config.json").read_text()) == {"width": 6}
    described = json.loads((folder / "objectives.json").read_text())
    assert described["values"] == {"accuracy": 0.7, "latency": 1.0}
    assert (described["trial"], described["epoch"], described["status"]) == (2, 9, "ok")
    assert described["search"] == {"directory": str(tmp_path / "search")}
    assert pd.read_csv(target / "front.csv")["id"].tolist() == [0, 2]


def test_an_export_tells_a_colleague_what_it_is_and_how_it_is_loaded(tmp_path: Path) -> None:
    result, _ = searched(tmp_path / "search")
    text = (result.export(tmp_path / "front") / "README.md").read_text()
    assert "| folder | accuracy | latency (s) |\n| --- | ---: | ---: |\n| trial_00000 | 0.9 | 5 |" in text
    assert "Objectives: accuracy (max), latency (min)." in text
    named = set(re.findall(r"^- `([^`]+)`", text, flags=re.MULTILINE))
    assert named == {"front.csv", "state_dict.pt", "model.ckpt", "config.json", "objectives.json"}
    (path,) = re.findall(r'load_from_checkpoint\("([^"]+)"\)', text)
    assert "state_dict" in torch.load(tmp_path / "front" / path, weights_only=True)


@pytest.mark.parametrize(
    ("missing", "given"), [(["cfg"], r"'cfg' are not.*path, cfg=\.\.\.\)"), ([], "all saved.*path")]
)
def test_an_export_says_which_hyperparameters_it_lacks(tmp_path: Path, missing: list[str], given: str) -> None:
    result, _ = searched(tmp_path / "search")
    path = trial_directory(tmp_path / "search", 2) / "last.ckpt"
    torch.save({**torch.load(path, weights_only=True), LEFT_OUT: missing}, path)
    with pytest.warns(CheckpointWarning, match=f"{given}.*Result.load"):
        target = result.export(tmp_path / "front")
    assert (target / "trial_00002" / "model.ckpt").exists()
    call = "".join(f", {name}=..." for name in missing) or ", ..."
    assert f'load_from_checkpoint("trial_00000/model.ckpt"{call})' in (target / "README.md").read_text()


def test_export_replaces_only_an_earlier_export(tmp_path: Path) -> None:
    result, _ = searched(tmp_path / "search")
    target = tmp_path / "front"
    target.mkdir()
    result.export(target)  # an empty folder is fine
    with pytest.raises(InvalidArgumentError, match="not empty"):
        result.export(target)
    (target / "stale").touch()
    result.export(target, overwrite=True)
    assert sorted(path.name for path in target.iterdir()) == ["README.md", "front.csv", "trial_00000", "trial_00002"]
    with pytest.raises(InvalidArgumentError, match="not an earlier export"):
        result.export(tmp_path, overwrite=True)
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(InvalidArgumentError, match="is a file"):
        result.export(file, overwrite=True)


def test_a_failed_export_leaves_the_earlier_one(tmp_path: Path) -> None:
    result, _ = searched(tmp_path / "search")
    target = result.export(tmp_path / "front")
    (trial_directory(tmp_path / "search", 2) / "last.ckpt").unlink()
    with pytest.raises(PrimoError, match="checkpoint of trial 2 is gone"):
        result.export(target, overwrite=True)
    assert (target / "trial_00002" / "state_dict.pt").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["front", "search"]


def test_chosen_trials_are_exported_with_more_files(tmp_path: Path) -> None:
    result, _ = searched(tmp_path / "search")
    target = result.export(
        tmp_path / "chosen", trials=[2, result.trials[2]], extra=lambda trial, folder: (folder / f"{trial.id}").touch()
    )
    assert sorted(path.name for path in target.iterdir()) == ["README.md", "exported.csv", "trial_00002"]
    assert (target / "trial_00002" / "2").exists()
    assert pd.read_csv(target / "exported.csv")["id"].tolist() == [2]
    result.export(target, trials=[0], overwrite=True)
    assert sorted(path.name for path in target.iterdir()) == ["README.md", "exported.csv", "trial_00000"]
    with pytest.raises(PrimoError, match="checkpoint of trial 1 is gone"):
        result.export(target, trials=[1], overwrite=True)
    with pytest.raises(InvalidArgumentError, match="'trial' is 9"):
        result.export(target, trials=[9], overwrite=True)


def test_an_objective_that_nothing_changes_is_told_of(tmp_path: Path) -> None:
    log = Log(make_problem(ERROR, PARAMETERS))
    for trial_id in range(4):
        log.train(trial_id, (0.1 * trial_id + 0.1, 12345.0))
    log.train(4, (math.nan, math.nan), status=Status.DIVERGED)
    assert "in each of" not in log.result(tmp_path).summary()
    log.train(5, (0.7, 12345.0))
    line = "parameters is 12,345 in each of 5 trials: no hyperparameter of the space changes it"
    assert line in log.result(tmp_path).summary()
    log.train(6, (0.7, 12346.0))
    assert "in each of" not in log.result(tmp_path).summary()


def test_of_one_objective_there_is_nothing_to_trade(tmp_path: Path) -> None:
    log = Log(make_problem(ERROR))
    for trial_id in range(6):
        log.train(trial_id, (0.5,))
    assert "in each of" not in log.result(tmp_path).summary()
