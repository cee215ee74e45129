"""A server that is sent what no client would send: it refuses, goes on, and does nothing outside of its folder."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from tests.lean_imports import search_path
from tests.serving.processes import ROOT


def fuzzed(requests: int, networks: int, seed: int) -> dict[str, Any]:
    command = [sys.executable, "-m", "tests.serving.fuzz_script", str(requests), str(networks), str(seed)]
    environment = {**os.environ, "PYTHONPATH": search_path(ROOT)}
    ended = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    assert "Traceback" not in ended.stderr  # of a handler
    values: dict[str, Any] = json.loads(ended.stdout)
    return values


def test_malformed_requests() -> None:
    found = fuzzed(1000, 0, seed=0)
    assert found["seen"] == []
    assert not found["left"]
    assert found["median"] > 0
    answers = found["answers"]
    assert sum(answers.values()) == 1000
    assert set(answers) == {"202", "400", "401", "404", "405", "411", "422", "431", "HTTP/0.9"}


@pytest.mark.slow
def test_damaged_networks() -> None:
    found = fuzzed(0, 300, seed=1)
    assert found["seen"] == []
    assert not found["left"]
    assert found["median"] > 0
    assert set(found["answers"]) == {"202"}
