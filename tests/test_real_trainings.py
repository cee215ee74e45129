"""The table of what was measured with real trainings."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from benchmarks import real_trainings
from benchmarks.real_trainings import MEASURED, searches, table, with_searches
from lightning_primo.problem import Problem
from models import conv_net_space
from tests.cli.searches import written
from tests.results.search_log import ERROR, PARAMETERS, Log

ROWS = [
    ("a", 0, 2.0, 0.5, 1e4),  # 0.5 * 4
    ("a", 0, 9.0, 0.25, 1e5),  # and 0.25 * 3
    ("a", 0, 20.2, 0.0, 1.0),  # ended after the budget
    ("b", 0, 8.0, 0.5, 1e4),
    ("b", 1, 8.0, 0.5, 1e6),
]


def test_hypervolumes_are_those_of_what_had_ended_by_then() -> None:
    measured = pd.DataFrame(ROWS, columns=["method", "seed", "full_trainings", "val_error", "parameters"])
    a, b = table(measured).to_dict("records")
    assert (a["method"], a["searches"], a["after_8"], a["after_12"], a["after_20"]) == ("a", 1, 2.0, 2.75, 2.75)
    assert (b["method"], b["searches"], b["after_8"], b["least"], b["greatest"]) == ("b", 2, 1.5, 1.0, 2.0)


def test_searches_are_added_once_they_are_finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, n_trials in (("primo-sensible-3", 21), ("random-0", 5)):
        log = Log(Problem(space=conv_net_space(), objectives=(ERROR, PARAMETERS), max_epochs=2))
        for trial_id in range(n_trials):
            log.train(trial_id, (1.0 / (trial_id + 2), 100.0 * (trial_id + 1)), 2)
        written(tmp_path / name, log)
    monkeypatch.setattr(real_trainings, "MEASURED", tmp_path / "measured.csv")
    earlier = pd.DataFrame(ROWS, columns=["method", "seed", "full_trainings", "val_error", "parameters"])
    for _ in range(2):
        earlier = with_searches(earlier, tmp_path)
    new = earlier[earlier.method == "primo-sensible"]
    assert set(earlier.method) == {"a", "b", "primo-sensible"}
    assert new.seed.tolist() == [3] * 21
    assert new.full_trainings.tolist() == list(range(1, 22))
    assert new.parameters.tolist()[:2] == [100.0, 200.0]


def test_what_is_measured_is_whole() -> None:
    measured = pd.read_csv(MEASURED)
    assert all(len(result.front) for results in searches(measured).values() for result in results)
    assert not measured.duplicated().any()
    assert {"primo", "random"} <= set(measured.method)
