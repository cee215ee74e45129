from __future__ import annotations

import io
import json
import re
from pathlib import Path

import pandas as pd
import pytest
from ConfigSpace import Categorical, ConfigurationSpace, Float

from lightning_primo.cli.commands import front
from lightning_primo.errors import InvalidArgumentError, PrimoError, UnknownNameError
from lightning_primo.layout import checkpoint_file, trial_directory
from lightning_primo.problem import Problem
from lightning_primo.problem.trial import Origin
from tests.cli.searches import written
from tests.results.search_log import ERROR, LATENCY, PARAMETERS, Log, make_problem


def printed(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    assert front.run(front.parser().parse_args([str(argument) for argument in arguments])) == 0
    return capsys.readouterr().out


def test_the_front_is_a_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    written(tmp_path)
    lines = [line.split() for line in printed(capsys, tmp_path).splitlines()]
    assert lines[0][3] == "flops"  # what bounds the search is told of with its values
    assert sorted(lines[0][4:]) == ["lr", "momentum", "optimizer"]
    config = {name: index for index, name in enumerate(lines[0])}
    assert lines[0][:3] == ["trial", "val_error", "parameters"]
    assert [line[:3] for line in lines[2:]] == [["1", "0.2", "1,000"], ["2", "0.3", "100"], ["4", "0.9", "10"]]
    assert [line[config["flops"]] for line in lines[2:]] == ["-", "7", "-"]
    assert [line[config["momentum"]] for line in lines[2:]] == ["0.9", "-", "-"]
    assert [line[config["optimizer"]] for line in lines[2:]] == ["sgd", "adam", "adam"]


def test_sorted_by_another_objective(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    written(tmp_path)
    lines = printed(capsys, tmp_path, "--sort", "parameters").splitlines()
    assert [line.split()[0] for line in lines[2:]] == ["4", "2", "1"]
    with pytest.raises(UnknownNameError, match=r"unknown objective in '--sort': 'size'; valid choices: 'val_error', "):
        printed(capsys, tmp_path, "--sort", "size")


def test_all_trials_with_unknown_values_last(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    written(tmp_path)
    rows = [line.split() for line in printed(capsys, tmp_path, "--all").splitlines()][2:]
    assert [row[0] for row in rows] == ["6", "1", "2", "0", "4", "3", "5", "7"]
    assert rows[1][3:6] == ["*", "ok", "9"]
    assert rows[0][3:5] == ["ok", "3"]
    assert rows[5][3:5] == ["diverged", "0"]


def test_trials_trained_partly_are_told_of_and_greyed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    written(tmp_path)
    options = front.parser().parse_args([str(tmp_path)])
    assert front.run(options) == 0
    told = "1 trial was trained partly, to 3 of 9 epochs: the front is of those trained fully, a larger budget has more"
    assert capsys.readouterr().err == f"{told}; --all shows them\n"
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    rows = printed(capsys, tmp_path, "--all").splitlines()
    assert [line.split()[0] for line in rows if "\x1b[2m" in line] == ["\x1b[2m"]


def test_noisy_values_are_shown_with_their_spread_and_costs_with_their_unit(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = Log(make_problem(ERROR, PARAMETERS))
    log.train(0, (0.4, 100.0), deviations={"val_error": 0.02})
    written(tmp_path, log)
    assert printed(capsys, tmp_path).splitlines()[2].split()[:4] == ["0", "0.4", "±5.0%", "100"]
    log = Log(make_problem(ERROR, LATENCY))
    log.train(0, (0.4, 0.0163), deviations={"val_error": 0.02, "latency": 0.001})
    table = log.result(tmp_path).front._repr_html_()
    assert "<th>latency (s)</th>" in table
    assert "<td>0.4 ±5.0%</td><td>0.0163 ±6.1%</td>" in table


@pytest.mark.parametrize("width", [24, 40, 80])
def test_a_narrow_terminal_breaks_no_number(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    log = Log(make_problem(ERROR, PARAMETERS))
    log.train(0, (0.4735, 9_238.0), config={"lr": 5.56378e-05, "optimizer": "sgd", "momentum": 0.123456})
    written(tmp_path, log)
    for name, value in (("FORCE_COLOR", "1"), ("TERM", "xterm"), ("COLUMNS", str(width))):
        monkeypatch.setenv(name, value)
    lines = re.sub(r"\x1b\[\d*m", "", printed(capsys, tmp_path)).splitlines()
    assert max(map(len, lines)) <= width
    cells = [line.split() for line in lines]
    found = {name: cells[i + 2][j] for i, row in enumerate(cells) if row[:1] == ["trial"] for j, name in enumerate(row)}
    assert found == {
        "trial": "0",
        "val_error": "0.4735",
        "parameters": "9,238",
        "flops": "-",
        "lr": "5.56378e-05",
        "optimizer": "sgd",
        "momentum": "0.123456",
    }


def test_csv_and_json_hold_everything(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    written(tmp_path)
    table = pd.read_csv(io.StringIO(printed(capsys, tmp_path, "--csv", "--sort", "parameters")))
    assert table["id"].tolist() == [4, 2, 1]
    assert {"lr", "val_error", "flops", "parent", "status"} <= set(table.columns)
    rows = json.loads(printed(capsys, tmp_path, "--json", "--all"))
    assert [row["trial"] for row in rows if row["on_front"]] == [1, 2, 4]
    assert rows[1]["objectives"] == {"val_error": 0.2, "parameters": 1000.0}
    assert rows[1]["config"] == {"lr": 0.1, "optimizer": "sgd", "momentum": 0.9}
    assert rows[5]["objectives"] == {"val_error": None, "parameters": 50.0}
    assert rows[7]["objectives"] == {}


def test_no_front_yet(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = Log(make_problem(ERROR, PARAMETERS))
    log.train(0, (0.5, 10.0), 3)
    written(tmp_path, log)
    assert printed(capsys, tmp_path) == (
        "no trial was trained to the full budget of 9 epochs yet; --all shows all trials\n"
    )
    assert json.loads(printed(capsys, tmp_path, "--json")) == []
    assert printed(capsys, tmp_path, "--all").splitlines()[2].split()[:3] == ["0", "0.5", "10"]


def test_known_trials_are_marked_and_have_no_weights_to_export(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = Log(make_problem(ERROR, PARAMETERS))
    log.ask(0, origin=Origin.KNOWN)
    log.tell(0, (0.2, 100.0), cost=0)
    log.train(1, (0.4, 10.0))
    written(tmp_path, log)
    assert [line.split("  ")[0] for line in printed(capsys, tmp_path).splitlines()[2:]] == ["0 (known)", ""]
    assert [row["known"] for row in json.loads(printed(capsys, tmp_path, "--json"))] == [True, False]
    assert front.run(front.parser().parse_args([str(tmp_path), "--choose", "val_error"])) == 0
    told = capsys.readouterr()
    assert told.out.splitlines()[2].startswith("0 (known) ")
    assert told.err == (
        "chosen of 2; its result was known already, so it was not trained here and there are no weights\n"
    )


def test_infeasible_trials_are_no_ok_ones(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = Log(make_problem(ERROR, PARAMETERS))
    log.train(0, (0.5, 2e4))
    written(tmp_path, log)
    why = "the only trial that was trained to the full budget of 9 epochs breaks a bound"
    nearest = "the nearest: parameters = 20000 exceeds at_most = 10000 (trial 0)"
    assert printed(capsys, tmp_path) == f"{why}; {nearest}; --all shows all trials\n"
    assert printed(capsys, tmp_path, "--all").splitlines()[2].split()[3:5] == ["infeasible", "9"]
    (row,) = json.loads(printed(capsys, tmp_path, "--json", "--all"))
    assert (row["status"], row["feasible"], row["on_front"]) == ("ok", False, False)
    assert "parameters" in row["reason"]
    with pytest.raises(PrimoError, match=f"nothing to choose from: {why}; loosen the bounds"):
        printed(capsys, tmp_path, "--choose", "knee")


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (["knee"], "2"),
        (["val_error"], "1"),
        (["parameters"], "4"),
        (["val_error", "--at_most", "parameters=500"], "2"),
        (["val_error=1", "parameters=0.01"], "1"),
        (["parameters=1"], "4"),
        (["knee", "--at_least", "flops=5"], "2"),
    ],
)
def test_one_member_is_chosen(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], rule: list[str], expected: str
) -> None:
    written(tmp_path)
    arguments = front.parser().parse_args([str(tmp_path), "--choose", *rule])
    assert front.run(arguments) == 0
    assert "chosen of 3; its weights are not in the search's directory\n" in capsys.readouterr().err  # as of a study
    checkpoint = checkpoint_file(trial_directory(tmp_path, int(expected)))
    checkpoint.parent.mkdir(parents=True)
    checkpoint.touch()
    assert front.run(arguments) == 0
    told = capsys.readouterr()
    assert [line.split()[0] for line in told.out.splitlines()[2:]] == [expected]
    assert f"chosen of 3; its network as files: lightning-primo export {tmp_path} --trial {expected} --out " in told.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--at_most", "parameters=5"], "add --choose"),
        (["--choose", "knee", "--all"], "leave out --all and --sort"),
        (["--choose", "knee", "--sort", "parameters"], "leave out --all and --sort"),
        (["--choose", "knees"], "rule in '--choose': 'knees'; valid choices: 'knee', 'val_error', 'parameters', "),
        (
            ["--choose", "val_error", "parameters"],
            "'--choose' takes NAME=NUMBER such as .*, got 'val_error'",
        ),
        (["--choose", "knee", "--at_most", "parameters"], "'--at_most' takes NAME=NUMBER"),
        (["--choose", "knee", "--at_most", "parameters=1"], r"the least is 10 \(trial 4\)"),
    ],
)
def test_choices_that_mean_nothing_are_refused(tmp_path: Path, arguments: list[str], message: str) -> None:
    written(tmp_path)
    with pytest.raises(InvalidArgumentError, match=message):
        front.run(front.parser().parse_args([str(tmp_path), *arguments]))


def test_the_table_is_written_as_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    written(tmp_path / "search")
    out = tmp_path / "front.parquet"
    assert printed(capsys, tmp_path / "search", "--out", out) == f"table of 3 trials: {out}\n"
    assert pd.read_parquet(out)["id"].tolist() == [1, 2, 4]


def test_the_table_as_markdown_and_latex(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    written(tmp_path)
    for form, begin, row in (
        ("--markdown", "| trial | val_error | parameters |", "| 4 | 0.9 | 10 |"),
        ("--latex", r"\begin{tabular}{rrr", r"4 & 0.9 & 10 & "),
    ):
        text = printed(capsys, tmp_path, form, "--sort", "parameters")
        assert text.startswith(begin)
        assert row in text


def test_long_headings_are_folded_in_a_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    space = ConfigurationSpace()
    space.add(*(Float(f"model.init_args.weight_of_the_loss_of_head_{i}", (0.0, 1.0)) for i in range(3)))
    log = Log(Problem(space=space, objectives=(ERROR, PARAMETERS), max_epochs=9))
    log.train(0, (0.5, 10.0), config=dict.fromkeys(space, 0.25))
    written(tmp_path, log)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "100")
    lines = re.sub(r"\x1b\[[0-9;]*m", "", printed(capsys, tmp_path)).splitlines()
    assert [line.split() for line in lines[:3]] == [
        3 * ["model.init_args."],
        3 * ["weight_of_the_"],
        ["trial", "val_error", "parameters", "flops", "loss_of_head_0", "loss_of_head_1", "loss_of_head_2"],
    ]
    assert lines[4].split() == ["0", "0.5", "10", "-", "0.25", "0.25", "0.25"]  # one table, below its rule


def test_many_long_names_are_rows_in_a_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    space = ConfigurationSpace()
    names = [f"model.init_args.backbone.init_args.weight_of_the_loss_of_head_{i:02}" for i in range(18)]
    space.add(*(Float(name, (0.0, 1.0)) for name in names))
    space.add(
        Categorical("model.init_args.backbone.class_path", ["project.models.Transformer", "project.models.Mixer"])
    )
    log = Log(Problem(space=space, objectives=(ERROR, PARAMETERS), max_epochs=9))
    for i in range(4):
        config = {name: (1 + i + j) / 64 for j, name in enumerate(names)}
        config["model.init_args.backbone.class_path"] = "project.models.Mixer"
        log.train(i, (0.1 * (i + 1), 1000.0 - i), config=config)
    written(tmp_path, log)
    for variable, value in (("FORCE_COLOR", "1"), ("NO_COLOR", "1"), ("TERM", "xterm"), ("COLUMNS", "80")):
        monkeypatch.setenv(variable, value)
    lines = re.sub(r"\x1b\[[0-9;]*m", "", printed(capsys, tmp_path)).splitlines()
    assert max(map(len, lines)) <= 80
    rows = [line.split() for line in lines]
    assert rows[0] == ["trial", "val_error", "parameters", "flops"]
    assert rows[7] == ["trial", "0", "1", "2"]  # the last one comes in a table of its own
    assert rows.count(["model.init_args.backbone.init_args."]) == 2
    assert ["weight_of_the_loss_of_head_17", "0.28125", "0.296875", "0.3125"] in rows
    assert ["weight_of_the_loss_of_head_17", "0.328125"] in rows
    assert ["class_path", "models.Mixer", "models.Mixer", "models.Mixer"] in rows
    assert len(lines) < 70
