"""``lightning-primo new``: a small project to begin with, and its search."""

from __future__ import annotations

import shutil
from pathlib import Path

import jsonargparse

from lightning_primo.cli.output import print_text, writing
from lightning_primo.errors import InvalidArgumentError

STARTER = Path(__file__).parents[1] / "starter"
"""What is copied."""


def parser() -> jsonargparse.ArgumentParser:
    """The arguments of the command."""
    made = jsonargparse.ArgumentParser(
        description="Make a small project to begin with: a module and its data, a LightningCLI, its config.yaml, and a "
        "search.yaml that searches it in less than a minute."
    )
    made.add_argument("directory", type=Path, help="the folder to make; it must not exist yet, or be empty")
    return made


def run(options: jsonargparse.Namespace) -> int:
    """Carry out the command.

    Raises:
        InvalidArgumentError: If the folder is not empty, or cannot be written.
    """
    folder = options.directory.expanduser()
    if folder.exists() and not folder.is_dir():
        raise InvalidArgumentError(f"'directory' {str(folder)!r} is a file; name a folder that does not exist yet")
    if folder.is_dir() and any(folder.iterdir()):
        raise InvalidArgumentError(
            f"'directory' {str(folder)!r} is not empty, and nothing in it is to be overwritten; choose another one"
        )
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        files = sorted(path for path in STARTER.iterdir() if path.is_file())
        for file in files:
            shutil.copyfile(file, folder / file.name)
    print_text(
        f"{folder}: {', '.join(file.name for file in files)}\n"
        f"next: cd {folder} && lightning-primo search --config config.yaml --search search.yaml"
    )
    return 0
