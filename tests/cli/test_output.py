"""Nothing that a user has named reaches the terminal as a command to it."""

from __future__ import annotations

import ast
from dataclasses import replace
from pathlib import Path

import pytest

from lightning_primo.cli.commands import front, measure, plot
from lightning_primo.cli.output import print_note, print_text
from lightning_primo.errors import InvalidArgumentError
from lightning_primo.measure.module_profile import BatchProfile, ModuleProfile, profile_module
from tests.cli.searches import written
from tests.cli.test_export import exported, searched
from tests.test_layering import PACKAGE, ROOT
from tests.tiny import Net

EVIL = "\x1b]0;title\x07\x1b[31mred\x9b1m"


@pytest.fixture(autouse=True)
def _no_deprecations(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JSONARGPARSE_DEPRECATION_WARNINGS", "off")  # LightningCLI and its parser are not in step


def test_lines_are_printed_without_what_a_terminal_obeys(capsys: pytest.CaptureFixture[str]) -> None:
    print_text(f"a {EVIL}\nb")
    print_note(f"{EVIL}\r")
    assert capsys.readouterr() == ("a red1m\nb\n", "red1m\n")


def _printed(path: Path) -> list[str]:
    """What is printed as it is, and is no constant."""
    calls = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
    printed = [ast.unparse(call.args[0]) for call in calls if ast.unparse(call.func) == "print" and call.args]
    return [text for text in printed if not text.startswith(("printable(", "printable_lines("))]


def test_all_that_is_printed_is_made_printable() -> None:
    found = {str(path.relative_to(ROOT / PACKAGE)): _printed(path) for path in (ROOT / PACKAGE).rglob("*.py")}
    assert {name: printed for name, printed in found.items() if printed} == {
        "cli/main.py": ["_help()", "__version__"],
        "cli/output.py": ["to_json(values, indent=indent)"],  # which escapes them
    }


def test_export_and_plot_print_plain_paths(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    searched(tmp_path / EVIL, project=True)
    exported(tmp_path / EVIL, "--out", tmp_path / f"{EVIL}2")
    plot.run(plot.parser().parse_args([str(tmp_path / EVIL)]))
    printed = capsys.readouterr()
    assert f"{tmp_path}/red1m2/trial_00001: config.json" in printed.out
    assert f"picture of the front: {tmp_path}/red1m/front.png" in printed.out
    assert not {"\x1b", "\x07", "\x9b"} & {*printed.out, *printed.err}


def test_a_config_that_is_left_out_is_told_of_in_plain_text(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    searched(tmp_path / "search", project=True)

    def refuse(project: object, config: object) -> None:
        raise InvalidArgumentError(f"no {EVIL}")

    monkeypatch.setattr("lightning_primo.cli.project.project.Project.config_file", refuse)
    exported(tmp_path / "search", "--out", tmp_path / "front")
    assert "config.yaml of trial 0 is left out: no red1m\n" in capsys.readouterr().err


def test_measure_prints_plain_names_and_reasons(capsys: pytest.CaptureFixture[str]) -> None:
    profile: ModuleProfile = profile_module(Net(), None, devices=["cpu"], batch_sizes=[2])
    failed: list[BatchProfile] = [
        replace(batch, latency=None, failures={**batch.failures, "latency": f"ValueError: {EVIL}"})
        for batch in profile.batches
    ]
    measure.show(replace(profile, module=f"Net{EVIL}", batches=tuple(failed)))
    out = capsys.readouterr().out
    assert out.startswith("Netred1m: ")
    assert "ValueError: red1m" in out
    assert not {"\x1b", "\x07", "\x9b"} & {*out}


@pytest.mark.parametrize("terminal", [False, True])
def test_csv_is_as_it_is_but_on_a_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, terminal: bool
) -> None:
    written(tmp_path)
    monkeypatch.setattr("sys.stdout.isatty", lambda: terminal)
    monkeypatch.setattr("pandas.DataFrame.to_csv", lambda *a, **k: f"{EVIL}\n")
    front.run(front.parser().parse_args([str(tmp_path), "--csv"]))
    assert capsys.readouterr().out == ("red1m\n" if terminal else f"{EVIL}\n")
