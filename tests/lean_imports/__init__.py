"""Where Python finds a `sitecustomize` when the tests start a process, see there."""

from __future__ import annotations

import os
from pathlib import Path

FOLDER = str(Path(__file__).parent)


def search_path(*folders: Path | str) -> str:
    """``PYTHONPATH`` of a process that the tests start, with these folders."""
    return os.pathsep.join([FOLDER, *map(str, folders)])
