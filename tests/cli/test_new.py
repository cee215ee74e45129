from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import yaml

from lightning_primo.cli.commands import new
from lightning_primo.errors import InvalidArgumentError
from tests.forks import Forks

QUIET = {"JSONARGPARSE_DEPRECATION_WARNINGS": "off"}  # of LightningCLI's own calls


def made(folder: Path) -> int:
    return new.run(new.parser().parse_args([str(folder)]))


@pytest.mark.slow
def test_the_commands_of_its_readme_search_it(tmp_path: Path, forks: Forks, capsys: pytest.CaptureFixture[str]) -> None:
    project = tmp_path / "a" / "project"
    assert made(project) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"{project}: README.md, config.yaml, main.py, search.yaml, spirals.py"
    assert lines[1].startswith(f"next: cd {project} && lightning-primo search ")
    (commands,) = re.findall(r"```console\n(.*?)```", (project / "README.md").read_text(), flags=re.DOTALL)
    assert lines[1].partition(" && ")[2] in commands.splitlines()
    for command in commands.splitlines():
        name, *arguments = shlex.split(command)
        assert name == "lightning-primo"
        shorter = ["--epochs", "[1,2]", "--budget.full_trainings", "2"] if arguments[0] == "search" else []
        run = forks.run(["-m", "lightning_primo", *arguments, *shorter], cwd=project, env=QUIET)
        assert run.returncode == 0, run.stderr
    config = next((project / "front").glob("trial_*")) / "config.yaml"
    run = forks.run(["main.py", "fit", "--config", config, "--trainer.max_epochs=1"], cwd=project, env=QUIET)
    assert run.returncode == 0, run.stderr


def test_the_search_file_is_one_that_is_quick(tmp_path: Path) -> None:
    made(tmp_path)
    search = yaml.safe_load((tmp_path / "search.yaml").read_text())
    assert search["epochs"][1] * search["budget"]["full_trainings"] <= 54  # epochs: less than a minute


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("")
    with pytest.raises(InvalidArgumentError, match="is not empty, and nothing in it is to be overwritten"):
        made(tmp_path)
    with pytest.raises(InvalidArgumentError, match="is a file; name a folder"):
        made(tmp_path / "mine.py")
    assert [path.name for path in tmp_path.iterdir()] == ["mine.py"]


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InvalidArgumentError, match=r"file/project' cannot be written: Not a directory"):
        made(tmp_path / "file" / "project")
