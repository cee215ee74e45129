from __future__ import annotations

import json
import math
import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lightning_primo.errors import InvalidArgumentError, StorageError
from lightning_primo.layout import checkpoint_file, environment_file, report_file, trial_directory
from lightning_primo.problem import Problem
from lightning_primo.problem.objective import Objective
from lightning_primo.problem.trial import Origin
from lightning_primo.results.environment import add_environment, read_environment, this_environment
from lightning_primo.results.report import report_contents, report_page
from lightning_primo.results.report.page import inert_json
from lightning_primo.results.report.prior_effects import stored_priors
from lightning_primo.results.result import Result
from lightning_primo.space import Prior
from tests.results.search_log import ERROR, LATENCY, PARAMETERS, Log, make_problem, two_objective_log

DESCRIPTION = {
    "algorithm": json.dumps(
        {
            "class": "PriMO",
            "initial_design": {"class": "MOASHA", "sampler": {"class": "UniformSampler"}},
            "priors": {"val_error": {"class": "Prior", "center": {"lr": 0.01}, "confidence": 0.5}},
        }
    ),
    "objectives": json.dumps({"val_error": {"class": "Metric"}, "parameters": {"class": "ParameterCount"}}),
    "seed": "0",
}


def told(result: Result, **changes: Any) -> dict[str, Any]:
    return report_contents(result, **{**result.reported, "description": DESCRIPTION, **changes})


def shown(page: str) -> dict[str, Any]:
    (text,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page, flags=re.DOTALL)
    return json.loads(text)  # type: ignore[no-any-return]


def test_the_page_holds_what_was_found(tmp_path: Path) -> None:
    result = two_objective_log().result(tmp_path)
    path = result.report()
    assert path == report_file(tmp_path)
    data = shown(path.read_text())
    assert data["front"] == [1, 2, 4]
    assert [trial["fate"] for trial in data["trials"]] == [
        *("trained fully", "on the front", "on the front", "diverged"),
        *("on the front", "rejected", "trained partly", "pending"),
    ]
    assert data["trials"][3]["values"] == [None, 50.0]  # not a number is no JSON
    assert data["trials"][4]["parent"] == 1
    assert data["curves"]["2"] == {"epochs": [1, 3, 9], "values": [[0.8, 0.6, 0.3]]}
    assert data["rungs"] == [3, 9]
    table = result.hypervolume_over_cost()
    assert data["hypervolume"]["volume"][-1] == pytest.approx(table.hypervolume.iloc[-1], rel=1e-4)
    assert data["models"] == [None, None]  # eight trials tell of neither
    assert {group["status"] for group in data["failures"]} == {"diverged", "rejected"}


def test_infeasible_trials_and_the_bounds_they_break(tmp_path: Path) -> None:
    bounded = replace(make_problem(ERROR), constraints=(Objective(name="gap", at_most=0.1),))
    log = Log(bounded)
    log.train(0, (0.5,), measurements={"gap": 0.05})
    log.train(1, (0.1,), measurements={"gap": 0.3})
    data = told(log.result(tmp_path))
    assert [trial["fate"] for trial in data["trials"]] == ["on the front", "infeasible"]
    assert data["trials"][1]["reason"] == "gap = 0.3 exceeds at_most = 0.1"
    assert data["summary"]["infeasible"] == 1
    (constraint,) = data["constraints"]
    assert (constraint["name"], constraint["at_most"], constraint["at_least"]) == ("gap", 0.1, None)


def test_a_file_of_ones_own_and_what_cannot_be_one(tmp_path: Path) -> None:
    result = two_objective_log().result(tmp_path / "search")
    target = tmp_path / "new" / "page.html"
    assert result.report(target) == target
    assert not report_file(tmp_path / "search").exists()
    for wrong in (tmp_path, tmp_path / "page.pdf"):
        with pytest.raises(InvalidArgumentError, match="must be a file that ends with"):
            result.report(wrong)
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises((StorageError, OSError)):
        result.report(blocked / "page.html")


def test_a_search_without_trials_has_a_report(tmp_path: Path) -> None:
    problem = make_problem(ERROR, PARAMETERS)
    data = shown(Result(problem, [], directory=tmp_path, build=None).report().read_text())
    assert (data["trials"], data["front"], data["family"], data["spending"]) == ([], [], [], [])


def test_nothing_that_a_user_names_can_leave_its_place(tmp_path: Path) -> None:
    evil = "</script><img src=x onerror=alert(1)>\u2028@DATA@<!--<script>"
    text = inert_json({evil: [evil, math.nan, math.inf], "lone": "\ud800"})
    assert not set("<>&\u2028") & set(text)
    assert json.loads(text) == {evil: [evil, None, None], "lone": "\ud800"}
    log = Log(make_problem(replace(ERROR, name=evil), PARAMETERS))
    log.train(0, (0.5, 10.0))
    page = report_page(told(log.result(tmp_path), directory=tmp_path / evil, description={"algorithm": "null"}))
    assert page.count("<img") == 0
    assert page.count("</script>") == 3  # the data, the library, the code
    assert shown(page)["objectives"][0]["name"] == evil
    assert "script&gt;&lt;img" in page.split("</title>")[0]


def test_the_page_loads_nothing_and_runs_nothing_but_its_own(tmp_path: Path) -> None:
    result = two_objective_log().result(tmp_path)
    pages = [report_page(told(result)) for _ in range(2)]
    policies = [re.search(r'Content-Security-Policy" content="([^"]+)"', page) for page in pages]
    first, second = (policy[1] for policy in policies if policy)
    assert "default-src 'none'" in first
    assert "connect-src 'none'" in first
    assert "unsafe-eval" not in first
    assert first != second  # the number is drawn anew
    assert not re.search(r"@[A-Z]+@", pages[0])
    assert "connect-src 'self'" in report_page(told(result), watch=2.0)


def test_size_of_a_thousand_trials(tmp_path: Path) -> None:
    log = Log(make_problem(ERROR, PARAMETERS))
    curve = {epoch: (1 / epoch, 10.0) for epoch in range(1, 101)}
    for i in range(1000):
        log.train(i, (0.1 + i / 1000, 10.0 + i), config={"lr": 1e-3 + i * 1e-6, "optimizer": "adam"}, curve=curve)
    text = inert_json(told(log.result(tmp_path)))
    assert len(text) < 1.5e6
    epochs = json.loads(text)["curves"]["0"]["epochs"]
    assert (epochs[0], epochs[-1]) == (1, 100)  # thinned, not cut
    assert len(epochs) == 60


def test_known_trials_are_marked(tmp_path: Path) -> None:
    log = Log(make_problem(ERROR))
    log.ask(0, origin=Origin.KNOWN)
    log.tell(0, (0.5,), cost=0)
    log.ask(1, origin=Origin.GIVEN)
    log.tell(1, (0.4,))
    assert [trial.get("known", False) for trial in told(log.result(tmp_path))["trials"]] == [True, False]


def test_one_that_was_given_up_says_so(tmp_path: Path) -> None:
    log = Log(replace(make_problem(ERROR), replicates=5))
    log.train(0, (0.4,), measurements={"replicates": 5.0})
    log.train(1, (0.7,), measurements={"replicates": 2.0}, given_up=True)
    trials = told(log.result(tmp_path))["trials"]
    assert [trial.get("givenUp") for trial in trials] == [None, "given up after 2 of 5"]


def test_which_weights_there_are(tmp_path: Path) -> None:
    kept = checkpoint_file(trial_directory(tmp_path, 1))
    kept.parent.mkdir(parents=True)
    kept.touch()
    trials = told(two_objective_log().result(tmp_path))["trials"]
    assert [trial["id"] for trial in trials if trial["kept"]] == [1]


def test_a_folder_with_odd_characters_is_quoted_in_commands(tmp_path: Path) -> None:
    folder = tmp_path / "it's $HOME; rm"
    data = told(two_objective_log().result(folder), directory=folder)
    assert data["export"] == f"lightning-primo export '{tmp_path!s}/it'\"'\"'s $HOME; rm'"


def test_spreads_and_places_of_noisy_values(tmp_path: Path) -> None:
    log = Log(make_problem(ERROR, LATENCY))
    place = {"latency": {"hardware": "a chip", "device": "cpu"}}
    log.train(0, (0.5, 0.01), deviations={"latency": 0.001}, measured_on=place)
    data = told(log.result(tmp_path))
    assert data["trials"][0]["spreads"][1] == 0.001
    assert data["objectives"][1]["places"] == ["a chip, cpu"]
    assert [objective["unit"] for objective in data["objectives"]] == ["share", "seconds"]


def test_priors_are_read_wherever_in_an_algorithm_they_are() -> None:
    assert stored_priors(DESCRIPTION) == {"val_error": Prior({"lr": 0.01}, confidence=0.5)}
    inside = {"class": "MOASHA", "priors": None, "sampler": json.loads(DESCRIPTION["algorithm"])}
    assert stored_priors({"algorithm": json.dumps(inside)}) == stored_priors(DESCRIPTION)
    assert stored_priors({"algorithm": json.dumps({"class": "MOASHA"})}) == {}
    assert stored_priors({}) == {}


def test_what_the_priors_did_is_told(tmp_path: Path) -> None:
    log = Log(make_problem(ERROR, PARAMETERS))
    for i in range(12):
        guided = i % 3 == 0
        lr = 0.01 * (1 + i / 100) if guided else 1.0 / (i + 1)
        log.ask(i, config={"lr": lr, "optimizer": "adam"}, prior="val_error" if guided else None)
        log.tell(i, (abs(math.log10(lr) + 2), 10.0 + i))
    (prior,) = told(log.result(tmp_path))["priors"]
    assert (prior["objective"], prior["verdict"], prior["center"]) == ("val_error", "helped", {"lr": 0.01})
    assert (prior["with"]["trials"], prior["without"]["trials"]) == (4, 8)
    assert "in 100% of all pairs" in prior["words"]


def test_environments_add_up(tmp_path: Path) -> None:
    assert read_environment(tmp_path) == []
    for i in range(25):
        add_environment(tmp_path, {"command": str(i)})
    assert [run["command"] for run in read_environment(tmp_path)] == [str(i) for i in range(5, 25)]
    environment_file(tmp_path).write_text("{ damaged")
    assert read_environment(tmp_path) == []  # a report is made all the same
    add_environment(tmp_path, this_environment("2 local processes"))
    (run,) = read_environment(tmp_path)
    assert run["workers"] == "2 local processes"
    assert set(run["versions"]) >= {"torch", "lightning"}
    assert run["devices"]
    assert run["command"].startswith(Path(sys.executable).name[:6])
    assert len(run["command"]) <= 501


def test_a_problem_of_one_objective(tmp_path: Path) -> None:
    problem: Problem = make_problem(ERROR)
    log = Log(problem)
    for i in range(9):
        log.train(i, (0.9 - i / 20,), config={"lr": 10 ** (-i / 4), "optimizer": "adam"})
    (model,) = told(log.result(tmp_path))["models"]
    assert model["importances"][0]["name"] == "lr"
    assert {one["name"] for one in model["slices"]} == {"lr", "optimizer", "momentum"}


@pytest.mark.parametrize("kept", [False, True])
def test_a_front_of_single_trainings_is_said_to_be_lucky(tmp_path: Path, kept: bool) -> None:
    log = Log(make_problem(ERROR, PARAMETERS))
    log.train(0, (0.5, 10.0))
    if kept:
        checkpoint = checkpoint_file(trial_directory(tmp_path, 0))
        checkpoint.parent.mkdir(parents=True)
        checkpoint.touch()
    (note,) = told(log.result(tmp_path))["notes"]
    assert note.startswith("Each val_error is of one training, so that the members of the front were also lucky")
    assert ("(Result.repeat)" in note) == kept  # those of a study are trained by nobody here
    log.train(1, (0.1, 20.0), deviations={"val_error": 0.01})
    assert told(log.result(tmp_path))["notes"] == []


def test_constraints_have_values(tmp_path: Path) -> None:
    bounded = replace(make_problem(ERROR), constraints=(Objective(name="gap", at_most=0.1),))
    log = Log(bounded)
    log.train(0, (0.5,), measurements={"gap": 0.25})
    log.train(1, (0.4,), measurements={"gap": 0.2})
    log.ask(2)
    page = shown(report_page(told(log.result(tmp_path))))
    assert [trial["bounded"] for trial in page["trials"]] == [[0.25], [0.2], [None]]
    why = "all 2 trials that were trained to the full budget of 9 epochs break a bound; "
    assert page["none"] == f"{why}the nearest: gap = 0.2 exceeds at_most = 0.1 (trial 1)"
