"""Whose code a command may run: that of the user's own project, or with their word that of a search's directory.

A search's directory says where its project lies and which script to run. Whoever can write to the directory chooses
what that is, so nothing of it is run only because somebody reads the directory.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lightning_primo.cli.output import print_note
from lightning_primo.cli.project.overlay import class_paths
from lightning_primo.cli.project.project import Project
from lightning_primo.errors import InvalidArgumentError
from lightning_primo.layout import project_file

_MOST_CLASSES = 5


def trusted_project(
    directory: Path, *, configs: Sequence[str], cli: str | None, trust: bool, what: str
) -> Project | None:
    """The project of a search, whose code may be run.

    Args:
        directory: The search's directory.
        configs: The user's own config; empty for the one that the directory names.
        cli: The script that goes with it, as for ``lightning-primo search``.
        trust: Whether the user trusts what the directory names; then it is said on standard error what that is.
        what: What builds networks, for the message.

    Returns:
        None for a search that was made in Python, which names no code.

    Raises:
        InvalidArgumentError: If neither was given; the message says whose code would be run.
        SearchMismatchError: If the user's project is not the one that was searched over.
        CorruptStoreError: If what the directory says of its project cannot be read.
        ProjectError: If the project's script raises an exception.
    """
    stored = Project.of_search(directory)
    if stored is None:
        return None
    if configs or cli is not None:
        own = Project.open(configs, cli).for_search(
            encoded=stored.encoded, max_epochs=stored.max_epochs, max_steps=stored.max_steps
        )
        own.check_same(stored, directory)
        return own
    if not trust:
        raise InvalidArgumentError(
            f"{what} builds the networks, which runs what {str(project_file(directory))!r} names: "
            f"{code_of(stored)}. If you trust whoever can write there, add --trust; or give your own copy of the "
            "project by --config, with --cli as for the search"
        )
    print_note(f"running what the search's directory names: {code_of(stored)}")
    return stored


def code_of(project: Project) -> str:
    """For people: the code that a project runs."""
    classes = list(dict.fromkeys(class_paths(project.base)))
    parts = [] if project.cli is None else [f"the script {project.cli!r}"]
    if classes:
        more = ", …" if len(classes) > _MOST_CLASSES else ""
        parts.append(f"the classes {', '.join(map(repr, classes[:_MOST_CLASSES]))}{more}")
    return f"{' and '.join(parts) or 'modules'}, as found from the folder {project.folder!r}"
