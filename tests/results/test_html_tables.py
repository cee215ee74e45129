"""What notebooks show of trials, fronts, results and searches."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from ConfigSpace import Categorical, ConfigurationSpace, EqualsCondition, Float, Integer

from lightning_primo import FLOPs, Metric, ParameterCount, RandomSearch, Search
from lightning_primo.problem import Problem
from lightning_primo.problem.objective import Objective
from lightning_primo.problem.trial import Status
from lightning_primo.study.study_result import StudyResult
from tests.results.search_log import ERROR, PARAMETERS, Log, make_problem, two_objective_log
from tests.tiny import Data, Net

NASTY = "<script>alert('x')</script>\x1b[31m&"


class Cells(HTMLParser):
    """The texts of a page by the element that they are in, and the elements."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.rows: list[list[str]] = []
        self.texts: list[str] = []
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open.append(tag)
        self.tags.add(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] in ("td", "th"):
            self.rows[-1][-1] += data
        else:
            self.texts.append(data)


def test_a_result_is_its_overview_and_its_front(tmp_path: Path) -> None:
    result = two_objective_log().result(tmp_path)
    cells = Cells(result._repr_html_())
    assert cells.rows[0] == ["trial", "val_error", "parameters", "lr", "optimizer", "momentum"]
    assert cells.rows[1] == ["1", "0.2", "1,000", "0.1", "sgd", "0.9"]
    assert [row[0] for row in cells.rows[1:]] == [str(trial.id) for trial in result.front]
    assert cells.rows[2][-1] == "-"  # momentum is inactive
    assert set(result.overview()) <= set(cells.texts)
    study = StudyResult(result.problem, result.events, directory=tmp_path)
    assert study._repr_html_() == result._repr_html_()
    log = Log(make_problem(ERROR, PARAMETERS))
    log.train(0, (0.5, 10.0), 3)
    empty = Cells(log.result(tmp_path)._repr_html_())
    assert empty.rows == []
    assert "no trial was trained to the full budget of 9 epochs yet" in empty.texts


def test_a_front_of_many_is_cut(tmp_path: Path) -> None:
    log = Log(make_problem(ERROR, PARAMETERS))
    for trial_id in range(30):
        log.train(trial_id, (0.1 + 0.01 * trial_id, 1000.0 - trial_id))
    cells = Cells(log.result(tmp_path).front._repr_html_())
    assert len(cells.rows) == 21
    assert cells.texts == ["front of 30, the first 20 of them"]


def test_a_trial_says_what_became_of_it(tmp_path: Path) -> None:
    diverged = two_objective_log().result(tmp_path).trials[3]
    cells = Cells(diverged._repr_html_())
    assert cells.texts == ["trial 3, trained for 0 epochs"]
    told = dict(cells.rows)
    assert told["parameters"] == "50"
    assert (told["val_error"], told["status"], told["why"]) == ("-", "diverged", "loss is nan")


def test_names_are_text_and_nothing_else(tmp_path: Path) -> None:
    space = ConfigurationSpace(seed=0)
    space.add(Categorical(NASTY, [NASTY, "b"]))
    log = Log(Problem(space=space, objectives=(Objective(name=NASTY),), max_epochs=9))
    log.train(0, (0.5,), config={NASTY: NASTY}, measurements={NASTY + "2": 1.0})
    log.train(1, (float("nan"),), 1, config={NASTY: "b"}, status=Status.ERROR, reason=NASTY)
    result = log.result(tmp_path / "<b>")
    shown = "<script>alert('x')</script>&"
    for page in (result._repr_html_(), result.front._repr_html_(), *(trial._repr_html_() for trial in result.trials)):
        cells = Cells(page)
        assert cells.tags <= {"div", "table", "caption", "thead", "tbody", "tr", "th", "td"}
        assert "\x1b" not in page
        assert any(shown in cell for row in cells.rows for cell in row)
    assert f"search in {tmp_path / '<b>'}" in Cells(result._repr_html_()).texts


def test_a_search_is_what_it_searches(tmp_path: Path) -> None:
    space = ConfigurationSpace(seed=0)
    lr, width = Float("lr", (1e-4, 1e-1), log=True), Integer("width", (4, 64))
    norm = Categorical("norm", ["none", "<batch>"])
    space.add(lr, width, norm)
    space.add(EqualsCondition(width, norm, "none"))
    search = Search(
        space,
        module=lambda config: Net(config["lr"]),
        datamodule=Data(),
        objectives=[Metric("val_loss", mode="min"), ParameterCount(at_most=1e6)],
        constraints=[FLOPs(at_most=2e4)],
        algorithm=RandomSearch(),
        epochs=(1, 3),
        directory=tmp_path / "runs",
        seed=7,
    )
    cells = Cells(search._repr_html_())
    told = {row[0]: row[1:] for row in cells.rows}
    assert told["objectives"] == ["val_loss (min); parameters (min, at most 1,000,000)"]
    assert told["constraints"] == ["flops (min, at most 20,000)"]
    assert (told["algorithm"], told["epochs"], told["seed"]) == (["RandomSearch"], ["1 to 3"], ["7"])
    assert told["lr"] == ["0.0001 to 0.1", "log", ""]
    assert told["width"] == ["4 to 64", "", "norm"]
    assert told["norm"] == ["none, <batch>", "", ""]
    assert not re.search(r"<batch>", search._repr_html_())
    assert not (tmp_path / "runs").exists()  # looking at it makes nothing


@pytest.mark.parametrize("part", ["trials", "front"])
def test_what_is_shown_needs_no_objectives_to_be_known(tmp_path: Path, part: str) -> None:
    result = Log(make_problem(ERROR)).result(tmp_path)
    assert getattr(result, part) == ()
    assert Cells(result._repr_html_()).rows == []
