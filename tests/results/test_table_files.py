from __future__ import annotations

import json
import math
from pathlib import Path

import pandas as pd
import pytest
from ConfigSpace import Categorical, ConfigurationSpace

from lightning_primo.errors import InvalidArgumentError
from lightning_primo.problem import Problem
from lightning_primo.results.tables.table_files import write_table
from tests.results.search_log import ERROR, Log, two_objective_log


@pytest.mark.parametrize("suffix", [".csv", ".json", ".parquet"])
def test_the_table_comes_back(tmp_path: Path, suffix: str) -> None:
    result = two_objective_log().result(tmp_path)
    path = result.save_table(tmp_path / "new" / f"trials{suffix}")
    readers = {".csv": pd.read_csv, ".json": pd.read_json, ".parquet": pd.read_parquet}
    read = readers[suffix](path)
    expected = result.to_pandas()
    assert list(read.columns) == list(expected.columns)
    for name in expected.columns:
        for was, came in zip(expected[name].tolist(), read[name].tolist(), strict=True):
            unknown = pd.isna(was) or was == ""
            same = pytest.approx(was, rel=1e-12) if isinstance(was, float) else was
            assert (pd.isna(came) or came == "") if unknown else came == same, name


def test_choices_of_several_types_are_json_in_parquet(tmp_path: Path) -> None:
    space = ConfigurationSpace(seed=0)
    space.add(Categorical("heads", [1, "auto", 2.5]))
    log = Log(Problem(space=space, objectives=(ERROR,), max_epochs=9))
    for trial_id, heads in enumerate((1, "auto", 2.5)):
        log.train(trial_id, (0.1 * trial_id,), config={"heads": heads})
    path = log.result(tmp_path).save_table(tmp_path / "trials.parquet")
    assert [json.loads(text) for text in pd.read_parquet(path)["heads"]] == [1, "auto", 2.5]


def test_an_empty_table_is_a_file_too(tmp_path: Path) -> None:
    table = two_objective_log().result(tmp_path).to_pandas().iloc[:0]
    assert len(pd.read_parquet(write_table(table, tmp_path / "none.parquet"))) == 0
    assert json.loads(write_table(table, tmp_path / "none.json").read_text()) == []


def test_json_has_null_for_what_is_not_known(tmp_path: Path) -> None:
    path = two_objective_log().result(tmp_path).save_table(tmp_path / "trials.json")
    rows = json.loads(path.read_text())
    assert rows[3]["val_error"] is None
    assert not math.isnan(rows[3]["parameters"])


def test_another_suffix_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        InvalidArgumentError, match=r"must end with one of \.csv, \.json, \.parquet, got .*trials\.xlsx"
    ):
        two_objective_log().result(tmp_path).save_table(tmp_path / "trials.xlsx")
