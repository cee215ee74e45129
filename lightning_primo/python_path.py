"""Where a new Python process, in whatever folder, looks for modules."""

from __future__ import annotations

import os
import site
from pathlib import Path

_PACKAGES = str(Path(__file__).resolve().parents[1])


def python_path() -> str:
    """The ``PYTHONPATH`` by which it finds this package, and what this process has found by its own.

    A folder of installed packages is not named: it is searched anyway, behind Python's own modules, some of which have
    obsolete namesakes there.
    """
    named = [str(Path(path).absolute()) for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    installed = [str(Path(path).resolve()) for path in (*site.getsitepackages(), site.getusersitepackages())]
    own = [] if _PACKAGES in installed else [_PACKAGES]
    return os.pathsep.join(dict.fromkeys([*own, *named]))
