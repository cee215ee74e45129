from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lightning_primo.cli.project import workplace

PROJECTS = Path(__file__).parents[1] / "projects"
MODULES = ("networks", "digits", "broken", "main", "own", "example_batches")


@pytest.fixture
def process() -> Iterator[None]:
    """Put back what stays in a process after a project was in it."""
    before = (os.getcwd(), list(sys.path), list(sys.argv), sys.modules["__main__"], list(sys.meta_path))  # noqa: PTH109
    yield
    os.chdir(before[0])
    sys.path[:], sys.argv[:], sys.modules["__main__"], sys.meta_path[:] = before[1:]
    workplace._active.clear()
    workplace._prepared.clear()
    for name in MODULES:
        sys.modules.pop(name, None)


@pytest.fixture
def _quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    # Lightning calls what jsonargparse has renamed.
    monkeypatch.setenv("JSONARGPARSE_DEPRECATION_WARNINGS", "off")


@pytest.fixture
def classifier(process: None, _quiet: None, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project whose script names the classes; the folder is the current one."""
    monkeypatch.chdir(PROJECTS / "image_classifier")
    return PROJECTS / "image_classifier"


@pytest.fixture
def networks(process: None, _quiet: None, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project whose config names the classes, with a command line of its own; the folder is the current one."""
    monkeypatch.chdir(PROJECTS / "digit_networks")
    return PROJECTS / "digit_networks"
