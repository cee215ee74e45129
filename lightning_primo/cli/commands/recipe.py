"""``lightning-primo recipe``: the searches that come with the package, ready to launch."""

from __future__ import annotations

import ast
import importlib
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jsonargparse

from lightning_primo.cli.output import print_text
from lightning_primo.errors import PrimoError, UnknownNameError

_PACKAGE = Path(__file__).parents[2]
_FOLDER = "recipes"
_SHARED = "common"  # no recipe itself
_EXTRAS = {"sklearn": "recipes", "torchvision": "recipes", "peft": "finetune", "transformers": "finetune"}
"""The extra that brings a package."""


def parser() -> jsonargparse.ArgumentParser:
    """The arguments of the command."""
    made = jsonargparse.ArgumentParser(
        usage="lightning-primo recipe [NAME [arguments]]",
        description="Launch a search that comes with the package: lightning-primo recipe digits --full-trainings 20. "
        "Without a name the recipes are listed; lightning-primo recipe NAME --help says what one takes. Most need the "
        "extra: pip install 'lightning-primo[recipes]'; finetune needs 'lightning-primo[finetune]'.",
    )
    made.add_argument("name", nargs="?", metavar="NAME", help="the recipe; none to list them")
    made.add_argument("arguments", nargs="...", help="what is handed to it")
    return made


def run(options: jsonargparse.Namespace) -> int:
    """Carry out the command.

    Raises:
        UnknownNameError: There is no such recipe.
        PrimoError: If a package that it needs is not installed.
    """
    home = home_of_recipes(_PACKAGE)
    known = {path.stem: path for path in sorted((home / _FOLDER).glob("*.py")) if path.stem[0] != "_"}
    known.pop(_SHARED)
    if options.name is None:
        width = max(map(len, known)) + 2
        print_text("\n".join(f"  {name:{width}}{_summary(path)}" for name, path in known.items()))
        return 0
    if options.name not in known:
        raise UnknownNameError("recipe", options.name, known)
    with importable(home):
        main: Callable[..., Any] = _imported(options.name).main
        main(list(options.arguments), prog=f"lightning-primo recipe {options.name}")
    return 0


def home_of_recipes(package: Path) -> Path:
    """The folder from which ``recipes``, ``models`` and ``datamodules`` are imported.

    Args:
        package: The folder of this package: installed, where they lie in it, or in a clone, where they lie beside it.

    Raises:
        PrimoError: If they are nowhere.
    """
    for home in (package / "examples", package.parent):
        if (home / _FOLDER / f"{_SHARED}.py").is_file():
            return home
    raise PrimoError(f"the recipes are missing from {str(package)!r}; install lightning-primo anew")


@contextmanager
def importable(home: Path) -> Iterator[None]:
    """Import from a folder first, here and in the worker processes that are started meanwhile."""
    sys.path.insert(0, str(home))
    try:
        yield
    finally:
        sys.path.remove(str(home))


def _imported(name: str) -> Any:
    try:
        return importlib.import_module(f"{_FOLDER}.{name}")
    except ModuleNotFoundError as error:
        extra = _EXTRAS.get((error.name or "").partition(".")[0])
        if extra is None:
            raise
        raise PrimoError(f"the recipe {name!r} needs {error.name}: pip install 'lightning-primo[{extra}]'") from error


def _summary(path: Path) -> str:
    """The first line of a recipe's docstring, without running it."""
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return text.partition("\n")[0]
