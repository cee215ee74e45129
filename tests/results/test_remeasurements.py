from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path

import numpy as np
import pytest

from lightning_primo.errors import PrimoError
from lightning_primo.factory import Factory
from lightning_primo.layout import trials_directory
from lightning_primo.problem.trial import Evaluation, Status
from lightning_primo.results.exports.export import _described
from lightning_primo.results.once_more.remeasurements import read_remeasured, with_remeasured, write_remeasured
from tests.results.search_log import ACCURACY, ERROR, LATENCY, Log, make_problem

PLACE = {"hardware": "Chip 9", "device": "cpu", "threads": "2", "batch_size": "1", "dtype": "float32"}
AGAIN = {0: {"latency": [1.6, 1.5]}, 2: {"latency": [3.0]}}


def log() -> Log:
    """Told, trials 0 and 2 are on the front; measured again 0 is slower than 1."""
    log = Log(make_problem(ERROR, LATENCY))
    noise = {"deviations": {"latency": 0.01}, "measured_on": {"latency": PLACE}}
    log.train(0, (0.5, 1.0), curve={9: (0.5, 1.0)}, **noise)
    log.train(1, (0.5, 1.4), **noise)
    log.train(2, (0.2, 3.0), **noise)
    log.train(3, (math.nan, 2.0), status=Status.DIVERGED, **noise)
    return log


def test_a_result_has_the_medians_of_all_measurements_everywhere(tmp_path: Path) -> None:
    told = log().result(tmp_path)
    assert [trial.id for trial in told.front] == [2, 0]
    write_remeasured(tmp_path, AGAIN)
    result = log().result(tmp_path)
    assert [trial.id for trial in result.front] == [2, 1]
    assert result.trials[0].values == {"val_error": 0.5, "latency": 1.5}
    assert result.trials[0].curve == {9: {"val_error": 0.5, "latency": 1.5}}
    assert result.trials[0].measurements["latency_spread"] == pytest.approx(np.std([1.0, 1.6, 1.5], ddof=1))
    assert result.trials[1].measurements["latency_spread"] == 0.01
    volume = (1 - 0.5) * (4 - 1.4) + (0.5 - 0.2) * (4 - 3.0)
    assert result.hypervolume({"latency": 4.0}) == pytest.approx(volume)
    assert result.hypervolume_over_cost({"latency": 4.0})["hypervolume"].iloc[-1] == pytest.approx(volume)
    assert sorted(result.losses_within(99)[:, 1]) == [1.4, 1.5, 3.0]


def test_the_table_and_the_summary_say_how_much_a_value_scatters_and_where_it_was_measured(tmp_path: Path) -> None:
    write_remeasured(tmp_path, AGAIN)
    result = log().result(tmp_path)
    table = result.to_pandas().set_index("id")
    assert table.loc[1, ["latency", "latency_spread"]].tolist() == [1.4, 0.01]
    assert set(table["latency_measured_on"]) == {"Chip 9, cpu, threads 2, batch size 1, float32"}
    summary = result.summary()
    assert "1.4 ±0.7%" in summary
    assert summary.endswith("latency measured on Chip 9, cpu, threads 2, batch size 1, float32")


def test_the_summary_says_why_the_hypervolume_is_not_the_one_of_the_search(tmp_path: Path) -> None:
    told = log().result(tmp_path / "before").hypervolume()
    write_remeasured(tmp_path, AGAIN)
    result = log().result(tmp_path)
    n = len(AGAIN)
    assert (
        f"{result.reached_text} ({told:.4g} with the values that the search saw; {n} trials were "
        "measured again, and the medians count):\n"
    ) in result.summary()


def bounded(at_most: float) -> Log:
    """The same, with a bound on the latency."""
    bounded = log()
    bounded.problem = make_problem(ERROR, dataclasses.replace(LATENCY, at_most=at_most, reference=9.0))
    return bounded


def test_what_breaks_a_bound_when_measured_again_is_in_the_table_but_not_on_the_front(tmp_path: Path) -> None:
    write_remeasured(tmp_path, {0: {"latency": [1.0]}, 2: {"latency": [3.4, 3.4]}})
    result = bounded(3.0).result(tmp_path)
    assert [trial.id for trial in result.front] == [0]
    table = result.to_pandas().set_index("id")
    assert table["on_front"].tolist() == [True, False, False, False]
    assert table.loc[2, ["status", "latency", "epoch"]].tolist() == ["ok", 3.4, 9]
    assert table.loc[2, "reason"] == "measured again, latency = 3.4 exceeds at_most = 3"
    assert table.loc[0, "reason"] == ""
    volume = (1 - 0.5) * (9 - 1.0)
    assert result.hypervolume() == pytest.approx(volume)
    assert result.hypervolume_over_cost()["hypervolume"].iloc[-1] == pytest.approx(volume)
    assert sorted(result.losses_within(99)[:, 1]) == [1.0, 1.4]
    line = "1 infeasible, on no front (trial 2, measured again, latency = 3.4 exceeds at_most = 3)\nfront of 1"
    assert line in result.summary()


def test_a_front_that_a_bound_leaves_empty_says_why(tmp_path: Path) -> None:
    write_remeasured(tmp_path, {trial_id: {"latency": [9.0, 9.0]} for trial_id in range(3)})
    result = bounded(5.0).result(tmp_path)
    assert result.front == ()
    assert "3 infeasible, on no front (trial 0, measured again, latency = 9 exceeds at_most = 5; " in result.summary()
    assert "no trial was trained" not in result.summary()
    with pytest.raises(PrimoError, match=r"nothing to export: .* or none keeps its bounds"):
        result.export(tmp_path / "export")


def test_a_member_of_the_front_without_weights_says_so(tmp_path: Path) -> None:
    write_remeasured(tmp_path, AGAIN)
    trials_directory(tmp_path).mkdir()
    result = log().result(tmp_path, build=Factory(lambda config: None, None))
    explanation = "checkpoint of trial 1 is gone.* only when its latency was measured again .*keep_all_checkpoints"
    with pytest.raises(PrimoError, match=explanation):
        result.load(1)
    with pytest.raises(PrimoError, match=explanation):
        result.export(tmp_path / "export", trials=[1])


def test_a_maximised_value_stays_one() -> None:
    log = Log(make_problem(ACCURACY))
    log.train(0, (0.5,))
    events = with_remeasured(log.problem, log.events, {0: {"accuracy": [0.9, 0.7]}})
    assert [event.losses for event, _ in events if isinstance(event, Evaluation)] == [(-0.7,)]


def test_other_events_and_other_names_are_left_as_they_are() -> None:
    whole = log()
    assert with_remeasured(whole.problem, whole.events, {}) == whole.events
    changed = with_remeasured(whole.problem, whole.events, {0: {"power": [3.0]}, 3: {"latency": [1.0]}, 99: {}})
    assert changed[:2] == whole.events[:2]
    failed = changed[-1][0]
    assert isinstance(failed, Evaluation)
    assert failed.losses[1] == 1.5


def test_the_file_holds_what_was_written_and_damage_is_named(tmp_path: Path) -> None:
    assert read_remeasured(tmp_path) == {}
    write_remeasured(tmp_path, AGAIN)
    assert read_remeasured(tmp_path) == AGAIN
    assert sorted(path.name for path in tmp_path.iterdir()) == ["remeasured.json"]
    for text in ("{", "[]", '{"0": [1]}', json.dumps({"0": {"latency": ["fast"]}})):
        (tmp_path / "remeasured.json").write_text(text)
        with pytest.raises(PrimoError, match=r"remeasured.json' is damaged .* delete it to measure the front again"):
            read_remeasured(tmp_path)


def test_an_export_says_where_values_were_measured(tmp_path: Path) -> None:
    result = log().result(tmp_path)
    described = _described(result.trials[1], {}, {})
    assert described["measured_on"] == {"latency": PLACE}
    assert described["measurements"]["latency_spread"] == 0.01
