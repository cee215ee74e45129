from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tests.forks import Forks
from tests.lean_imports import search_path
from tests.workers.test_local_processes import ROOT, alive, wait_until_dead

SCRIPT = """
import multiprocessing, os, sys, time
from contextlib import nullcontext
from lightning_primo.workers.lifetime import children_end_with_us

with children_end_with_us() if sys.argv[1] == "watched" else nullcontext():
    child = multiprocessing.get_context("fork").Process(target=time.sleep, args=(60,))
    child.start()
print(child.pid, flush=True)
os._exit(1)
"""


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
def test_what_is_forked_while_training_ends_with_the_process_that_is_killed(forks: Forks, tmp_path: Path) -> None:
    """Others, which a user may mean to stay, are left alone."""
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    pids = {}
    for how in ("watched", "not"):
        process = forks.run([script, how], env={"PYTHONPATH": search_path(ROOT)})
        assert process.returncode == 1, process.stderr
        pids[how] = int(process.stdout)
    wait_until_dead([pids["watched"]], seconds=20.0)
    assert alive(pids["not"])
    os.kill(pids["not"], signal.SIGKILL)
