"""Where a search has run: versions, devices and commands, an entry per run, for whoever wants to run it again."""

from __future__ import annotations

import functools
import json
import platform
import shlex
import sys
from collections.abc import Mapping
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from lightning_primo.layout import environment_file, write_atomically

_PACKAGES = ("lightning-primo", "lightning", "torch", "botorch", "ConfigSpace", "numpy")
_MOST_RUNS = 20
_LONGEST_COMMAND = 500


def this_environment(workers: str) -> dict[str, Any]:
    """What is true of this process.

    Args:
        workers: Where trainings run, for people.
    """
    import torch

    from lightning_primo.measure.devices import device_name

    kind = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    devices = [device_name(torch.device("cpu"))]
    if kind is not None:
        names = [device_name(torch.device(kind.type, index)) for index in range(torch.accelerator.device_count())]
        devices += [f"{names.count(name)} x {name}" for name in dict.fromkeys(names)]
    return {
        "started": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "command": _command(),
        "workers": workers,
        "devices": ", ".join(devices),
        "system": f"{platform.system()} {platform.release()}, Python {platform.python_version()}",
        "versions": versions(),
    }


def versions() -> dict[str, str]:
    """Those of what a search is made of, by package."""
    return {name: _version(name) for name in _PACKAGES}


def read_environment(directory: Path) -> list[Mapping[str, Any]]:
    """The runs of the search in a directory; none where they were not recorded, or cannot be read."""
    try:
        runs = json.loads(environment_file(directory).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    return [run for run in runs if isinstance(run, dict)] if isinstance(runs, list) else []


def add_environment(directory: Path, environment: Mapping[str, Any]) -> None:
    """Add a run; of many the latest twenty are kept.

    Raises:
        StorageError: If it cannot be written.
    """
    runs = [*read_environment(directory), dict(environment)][-_MOST_RUNS:]
    write_atomically(environment_file(directory), json.dumps(runs, indent=1) + "\n")


def _command() -> str:
    """What was typed, with the interpreter by its name alone; cut where it is long, as code on the command line is."""
    interpreter, *rest = sys.orig_argv or ["python"]
    text = shlex.join([Path(interpreter).name, *rest])
    return text if len(text) <= _LONGEST_COMMAND else f"{text[:_LONGEST_COMMAND]}…"


@functools.cache
def _version(package: str) -> str:
    """Of the package that this process has imported; looking it up parses a file for each."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "from a checkout"
