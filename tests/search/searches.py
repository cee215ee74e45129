"""Runs searches in processes of their own, which may be told to die."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.search import resume_script

FULL_TRAININGS = 9


class Searches:
    """Runs the search of `resume_script` in processes of their own."""

    def __init__(self, log: Path) -> None:
        self.log = log
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        self._process = subprocess.Popen(
            [sys.executable, "-W", "ignore", resume_script.__file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=environment,
        )

    def run(self, directory: Path, full_trainings: float = FULL_TRAININGS, **strike: Any) -> int:
        """The exit code of a run; `strike` gives ``moment``, ``number`` and ``signal``."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        command = {"directory": str(directory), "log": str(self.log), "full_trainings": full_trainings, **strike}
        command.setdefault("search", "primo")
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())

    def close(self) -> None:
        self._process.communicate()
