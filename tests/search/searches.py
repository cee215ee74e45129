"""Runs searches in processes of their own, which may be told to die."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from tests.parent import Parent, Script
from tests.search import resume_script

FULL_TRAININGS = 9


class Searches:
    """Runs the search of `resume_script` in processes of their own."""

    def __init__(self, log: Path, parent: Parent) -> None:
        self.log = log
        nowhere = os.open(os.devnull, os.O_WRONLY)
        self._script = Script(parent, resume_script.__file__, stderr=nowhere, env={"OMP_NUM_THREADS": "1"})
        os.close(nowhere)

    def run(self, directory: Path, full_trainings: float = FULL_TRAININGS, **strike: Any) -> int:
        """The exit code of a run; `strike` gives ``moment``, ``number`` and ``signal``."""
        command = {"directory": str(directory), "log": str(self.log), "full_trainings": full_trainings, **strike}
        command.setdefault("search", "primo")
        self._script.tell(json.dumps(command))
        return int(self._script.hear())

    def close(self) -> None:
        self._script.close()
