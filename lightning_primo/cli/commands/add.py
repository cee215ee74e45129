"""``lightning-primo add``: a configuration that a search that runs tries next."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jsonargparse

from lightning_primo.cli.output import print_text
from lightning_primo.errors import InvalidArgumentError


def parser() -> jsonargparse.ArgumentParser:
    """The arguments of the command."""
    made = jsonargparse.ArgumentParser(
        description="Let a search that runs try a configuration of yours next, in place of one that its algorithm "
        "would have begun with. The file holds hyperparameters by their names, as front shows them, or a list of "
        "several such configurations; what is left out has the space's default."
    )
    made.add_argument("directory", type=Path, help="the search's directory")
    made.add_argument("file", type=Path, help="a YAML or JSON file, such as one with the line  lr: 0.01")
    return made


def run(options: jsonargparse.Namespace) -> int:
    """Carry out the command.

    Raises:
        StoreError: There is no search in the directory, or nobody carries it out now.
        UnknownNameError: For a name that is not in the space.
        InvalidArgumentError: The file cannot be read, or a configuration is not in the space or tried already.
        StorageError: The search's directory cannot be written.
    """
    from lightning_primo.search.requests import ask_to_add

    content = _content(options.file)
    name = options.file.name
    configs = {name: content}
    if isinstance(content, list):
        configs = {f"configuration {number} of {name}": config for number, config in enumerate(content, start=1)}
    for added in ask_to_add(options.directory, configs):
        print_text(f"to be tried next: {', '.join(f'{name} {value}' for name, value in added.items())}")
    return 0


def _content(path: Path) -> Any:
    from lightning_primo.cli.search_file.strict_yaml import load

    try:
        content = load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InvalidArgumentError(f"{str(path)!r} cannot be read: {error.strerror or error}") from error
    except ValueError as error:
        raise InvalidArgumentError(f"{path.name} {error}") from error
    if content is None or content == []:
        raise InvalidArgumentError(f"{path.name} is empty; it must hold hyperparameters, such as  lr: 0.01")
    return content
