"""Where a new process looks for modules."""

from __future__ import annotations

import os
import site
from pathlib import Path

import pytest

import lightning_primo
from lightning_primo.python_path import python_path

ROOT = str(Path(lightning_primo.__file__).parents[1])


def test_it_finds_this_package_first_and_what_this_process_did(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(site, "getsitepackages", lambda: ["/elsewhere"])
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(["own", "", "/other", ROOT]))
    assert python_path().split(os.pathsep) == [ROOT, str(tmp_path / "own"), "/other"]


def test_installed_packages_do_not_come_before_the_modules_of_python(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(site, "getsitepackages", lambda: [ROOT])
    monkeypatch.setenv("PYTHONPATH", "/other")
    assert python_path() == "/other"
