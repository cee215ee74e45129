from __future__ import annotations

import argparse
import re
import subprocess
import sys
import types
from pathlib import Path

import pytest

import lightning_primo
from lightning_primo.cli import main as main_module
from lightning_primo.cli.help_format import HelpFormatter
from lightning_primo.cli.main import COMMANDS, main
from lightning_primo.errors import InvalidArgumentError, ProjectError, SearchMismatchError
from tests.cli.searches import written


def test_help_names_all_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    out = capsys.readouterr().out
    assert all(f"\n  {name} " in out for name in COMMANDS)
    assert main([]) == 2
    assert "usage" in capsys.readouterr().err
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"{lightning_primo.__version__}\n"
    assert main(["serach"]) == 2
    assert capsys.readouterr().err.startswith("lightning-primo: unknown command 'serach'; valid choices: search, ")


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([name, "--help"]) == 0
    said = capsys.readouterr().out
    assert f"usage: lightning-primo {name}" in said
    assert not re.search(r"<class|type:|\bnull\b", said)  # what they are for, not what Python calls them
    assert main([name, "--no-such-option"]) == 2
    err = capsys.readouterr().err
    assert err.startswith(f"lightning-primo {name}: ")
    assert err.count("\n") == 1


@pytest.mark.parametrize("older", [False, True], ids=["argparse", "jsonargparse before 4.49"])
def test_help_says_what_is_required(older: bool) -> None:
    parser = argparse.ArgumentParser()
    action = parser.add_argument("--out", required=not older, help="the folder")
    if older:
        action._required = True  # type: ignore[attr-defined]
    assert HelpFormatter("export")._get_help_string(action) == "the folder (required)"


def test_help_imports_neither_torch_nor_lightning() -> None:
    code = (
        "import sys; from lightning_primo.cli.main import main, COMMANDS; main(['--help'])\n"
        "for name in COMMANDS: main([name, '--help'])\n"
        "print([name for name in ('torch', 'lightning', 'pandas', 'matplotlib') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("[]\n")


@pytest.mark.parametrize("command", [["status"], ["front"], ["front", "--all", "--json"]], ids=" ".join)
def test_what_reads_a_log_imports_nothing_that_trains(tmp_path: Path, command: list[str]) -> None:
    written(tmp_path)
    code = (
        "import sys; from lightning_primo.cli.main import main; code = main(sys.argv[1:])\n"
        "heavy = ('torch', 'lightning', 'botorch', 'pandas', 'matplotlib', 'scipy.stats', 'ConfigSpace')\n"
        "print(code, [name for name in heavy if name in sys.modules])"
    )
    arguments = [sys.executable, "-c", code, *command, str(tmp_path)]
    done = subprocess.run(arguments, capture_output=True, text=True, check=True)
    assert done.stdout.endswith("0 []\n")


@pytest.mark.parametrize(
    ("raised", "code", "message"),
    [
        (InvalidArgumentError("bad"), 2, "lightning-primo status: bad\n"),
        (SearchMismatchError("other"), 2, "lightning-primo status: other\n"),
        (ProjectError("theirs"), 1, "lightning-primo status: theirs\n"),
        (KeyboardInterrupt(), 130, "lightning-primo status: stopped by Ctrl-C\n"),
    ],
)
def test_errors_are_told_without_a_traceback(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    raised: BaseException,
    code: int,
    message: str,
) -> None:
    from jsonargparse import ArgumentParser

    def run(options: object) -> int:
        raise raised

    command = types.SimpleNamespace(parser=ArgumentParser, run=run)
    monkeypatch.setattr(main_module.importlib, "import_module", lambda name: command)
    assert main(["status"]) == code
    assert capsys.readouterr().err == message


@pytest.mark.parametrize("form", [[], ["--json"]])
def test_a_reader_who_has_enough_is_told_nothing(tmp_path: Path, form: list[str]) -> None:
    written(tmp_path)
    code = "import sys; from lightning_primo.cli.main import main; sys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", code, "front", str(tmp_path), *form]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 1
