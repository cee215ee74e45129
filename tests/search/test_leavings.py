"""What a run leaves for people, and that nothing of it is in the search's way."""

from __future__ import annotations

from pathlib import Path

import pytest
from ConfigSpace import ConfigurationSpace, Float

from lightning_primo import Metric, ParameterCount, RandomSearch, Result, Search, read_result
from lightning_primo.layout import environment_file, report_file
from lightning_primo.results.environment import read_environment
from lightning_primo.search import leavings
from tests.tiny import Data, Net


def search(directory: Path) -> Search:
    space = ConfigurationSpace(seed=0)
    space.add(Float("lr", (1e-3, 1e-1)))
    return Search(
        space,
        module=Net,
        datamodule=Data(),
        objectives=[Metric("val_loss"), ParameterCount()],
        algorithm=RandomSearch(),
        epochs=(1, 1),
        directory=directory,
        trainer={"accelerator": "cpu"},
    )


def test_a_report_and_where_it_ran(tmp_path: Path) -> None:
    result = search(tmp_path).run(trials=2, progress=False)
    page = report_file(tmp_path).read_text()
    assert "val_loss" in page
    (run,) = read_environment(tmp_path)
    assert run["workers"] == "in the process of the search"
    assert run["versions"]["torch"] in page
    told = result.evaluations
    assert all(0 < evaluation.measuring < evaluation.seconds for evaluation in told)
    report_file(tmp_path).unlink()
    search(tmp_path).run(trials=3, progress=False, report=False)
    assert not report_file(tmp_path).exists()
    assert len(read_environment(tmp_path)) == 2
    assert len(read_result(tmp_path).trials) == 3


@pytest.mark.parametrize("error", [ValueError("a bug\nand more"), KeyboardInterrupt(), RuntimeWarning("a warning")])
def test_no_report_is_no_reason_to_fail(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: BaseException
) -> None:
    def fails(self: Result, path: object = None) -> Path:
        raise error

    monkeypatch.setattr(Result, "report", fails)
    result = search(tmp_path).run(trials=1, progress=False)
    assert len(result.front) == 1
    told = capsys.readouterr().err
    assert f"the report was not written ({type(error).__name__}" in told
    assert "and more" not in told
    assert f"lightning-primo report {str(tmp_path)!r} writes it" in told


def test_an_environment_that_cannot_be_written_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    environment_file(tmp_path).mkdir()
    leavings.record_environment(tmp_path, workers=2, executor=None)
    assert "are not recorded (" in capsys.readouterr().err
