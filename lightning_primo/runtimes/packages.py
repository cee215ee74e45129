"""The packages that runtimes need, which of them are installed, and in which versions."""

from __future__ import annotations

import importlib.util
import os
import shutil
from importlib.metadata import PackageNotFoundError, version

from lightning_primo.errors import RuntimeMissingError


def require(runtime: str, extra: str | None, *packages: str) -> None:
    """Raise unless the modules `packages` can be imported.

    Args:
        runtime: Who needs them.
        extra: The extra of this package that has them; None for the name of the first one alone.
        packages: Names of modules.

    Raises:
        RuntimeMissingError: It says what to install.
    """
    missing = [name for name in packages if importlib.util.find_spec(name) is None]
    if missing:
        command = f"pip install 'lightning-primo[{extra}]'" if extra else f"pip install {' '.join(missing)}"
        raise RuntimeMissingError(f"{runtime} needs {' and '.join(map(repr, missing))}, not installed here: {command}")


def compiler() -> str | None:
    """The C++ compiler that PyTorch would use; None where there is none."""
    names = (os.environ.get("CXX", ""), "g++", "clang++", "c++", "cl")
    return next((found for found in map(shutil.which, filter(None, names)) if found), None)


def require_compiler(runtime: str) -> None:
    """Raise unless there is a C++ compiler.

    Raises:
        RuntimeMissingError: It says how to get one.
    """
    if compiler() is None:
        raise RuntimeMissingError(
            f"{runtime} needs a C++ compiler, and there is none here: install g++ or clang++ (on Debian: apt install "
            "g++), or name one in the environment variable CXX"
        )


def installed(*distributions: str) -> str:
    """The version of the first of `distributions` that is installed; ``"unknown"`` for none."""
    for name in distributions:
        try:
            return version(name)
        except PackageNotFoundError:  # noqa: PERF203 - a wheel for another device has another name
            continue
    return "unknown"
