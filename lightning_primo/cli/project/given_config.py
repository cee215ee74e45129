"""A config as a LightningCLI is given it: files or a mapping, of a subcommand or of all."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

FIT = "fit"


def as_given(config: Sequence[str] | Mapping[str, Any], runs: bool) -> Any:
    """What is given to LightningCLI as ``args``; one with subcommands reads configs of the subcommand or of all.

    Args:
        config: The files, or a config as a mapping.
        runs: Whether the LightningCLI has subcommands.
    """
    if isinstance(config, Mapping):
        own = copy.deepcopy(dict(config))  # the parser changes it
        return {"subcommand": FIT, FIT: own} if runs else own
    files = {path: f"--config={path}" for path in config}
    if not runs:
        return list(files.values())
    of_all = [path for path in files if _has_subcommand(path)]
    return [*(files[path] for path in of_all), FIT, *(files[path] for path in files if path not in of_all)]


def _has_subcommand(path: str) -> bool:
    try:
        with open(path, encoding="utf-8") as file:  # noqa: PTH123 - may be anything that the parser reads
            content = yaml.safe_load(file)
    except (OSError, yaml.YAMLError, UnicodeDecodeError):
        return False  # the parser says what is wrong with it
    return isinstance(content, dict) and FIT in content


def refusal(error: Exception, files: Sequence[str], cli: str | None) -> str:
    """What is wrong with a config, with the files' names, and a remedy where it may be that a script is missing.

    Args:
        error: Of the parser.
        files: The config's.
        cli: The script; None where the config should name the classes.
    """
    message = f"{', '.join(Path(path).name for path in files) or cli}: {error}"
    if cli is not None or not any(word in str(error) for word in ("not accept", "required", "class")):
        return message
    return f"{message} (if the config names no classes, say which script constructs the LightningCLI: --cli main.py)"
