"""Names of a package that are imported when they are asked for: torch and Lightning take seconds."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping
from typing import Any


def lazy_names(package: str, homes: Mapping[str, str]) -> Callable[[str], Any]:
    """The ``__getattr__`` of a package whose names come from its modules, each imported when it is first needed.

    Type checkers read the same imports below the package's ``TYPE_CHECKING``.

    Args:
        package: Its ``__name__``.
        homes: By name the module that has it, relative to the package.
    """

    def get(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        found = getattr(importlib.import_module(f"{package}.{homes[name]}"), name)
        setattr(sys.modules[package], name, found)  # not asked again
        return found

    return get
