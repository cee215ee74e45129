from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from lightning_primo.cli.commands import recipe
from lightning_primo.errors import PrimoError, UnknownNameError
from tests.forks import Forks
from tests.lean_imports import search_path

ROOT = Path(__file__).parents[2]


def launched(*arguments: str) -> int:
    return recipe.run(recipe.parser().parse_args(list(arguments)))


def test_the_recipes_are_listed_with_what_they_search(capsys: pytest.CaptureFixture[str]) -> None:
    assert launched() == 0
    lines = [line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines()]
    names = {path.stem for path in (ROOT / "recipes").glob("[a-z]*.py")} - {"common"}
    assert {name for name, _ in lines} == names
    assert dict(lines)["digits"].startswith("Handwritten digits: ")


def test_a_recipe_is_given_what_follows_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    from recipes import digits

    given: list[tuple[list[str], str]] = []
    monkeypatch.setattr(digits, "main", lambda arguments, *, prog: given.append((arguments, prog)))
    before = list(sys.path)
    assert launched("digits", "--full-trainings", "3", "--help") == 0
    assert given == [(["--full-trainings", "3", "--help"], "lightning-primo recipe digits")]
    assert sys.path == before


@pytest.mark.parametrize("name", ["digits", "flowers", "cifar10", "compare", "on_device", "plug_in", "nasbench201"])
def test_the_help_of_a_recipe_is_of_the_command(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        launched(name, "--help")
    told = capsys.readouterr().out
    assert told.startswith(f"usage: lightning-primo recipe {name} [-h]")
    assert "python -m" not in told  # which does not find it where the package was installed


def test_a_project_among_the_recipes_has_its_help_too(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JSONARGPARSE_DEPRECATION_WARNINGS", "off")  # of LightningCLI's own calls
    monkeypatch.setattr(sys, "argv", ["lightning-primo"])  # or it warns of the arguments of the tests
    with pytest.raises(SystemExit):
        launched("plug_in", "fit", "--help")
    assert capsys.readouterr().out.startswith("usage: lightning-primo recipe plug_in ")


def test_an_unknown_recipe_names_those_that_there_are() -> None:
    with pytest.raises(UnknownNameError, match=r"unknown recipe: 'digit'; valid choices: 'cifar10', .*'digits'"):
        launched("digit")


def test_an_extra_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(recipe, "home_of_recipes", lambda package: tmp_path)
    (tmp_path / "recipes").mkdir()
    for name in ("__init__", "common"):
        (tmp_path / "recipes" / f"{name}.py").write_text("")
    (tmp_path / "recipes" / "images.py").write_text("import sklearn_that_is_not_there\n")
    for name in [name for name in sys.modules if name.partition(".")[0] == "recipes"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(recipe, "_EXTRAS", {"sklearn_that_is_not_there": "recipes"})
    with pytest.raises(PrimoError, match=r"'images' needs sklearn_that_is_not_there: pip install 'lightning-primo\["):
        launched("images")
    for name in [name for name in sys.modules if name.partition(".")[0] == "recipes"]:
        monkeypatch.delitem(sys.modules, name)


def test_without_recipes_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(PrimoError, match="the recipes are missing from"):
        recipe.home_of_recipes(tmp_path / "lightning_primo")


def test_in_an_installed_package_they_lie_below_it(tmp_path: Path, forks: Forks) -> None:
    """As a wheel has them, where nothing at the top of the search path is called models, datamodules or recipes."""
    package = tmp_path / "site" / "lightning_primo"
    shutil.copytree(ROOT / "lightning_primo", package)
    for name in ("recipes", "models", "datamodules"):
        shutil.copytree(ROOT / name, package / "examples" / name)
    small = ["--epochs", "1", "1", "--full-trainings", "2", "--algorithm", "random", "--quiet"]
    run = forks.run(
        ["-m", "lightning_primo", "recipe", "digits", *small],
        cwd=tmp_path,
        env={"PYTHONPATH": search_path(package.parent)},
    )
    assert run.returncode == 0, run.stderr
    assert "table of all trials: " in run.stdout
    assert str(tmp_path / "runs" / "digits" / "trials.csv") in run.stdout
