"""Two searches on a device with one core, which loses its power in the middle."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lightning_primo.layout import store_file
from lightning_primo.search import read_result
from lightning_primo.serving.tokens import VARIABLE
from tests.lean_imports import search_path
from tests.serving.conftest import TOKEN
from tests.serving.processes import ROOT, served

LIMITS = ["--max-seconds", "8", "--max-size", "500K"]


def search(address: str, directory: Path, trials: int, seed: int, token: str = TOKEN) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.serving.search_script", address, str(directory), str(trials), str(seed)]
    environment = {**os.environ, "PYTHONPATH": search_path(ROOT), VARIABLE: token, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def trials_told(directory: Path) -> int:
    return (
        sum(trial.status is not None for trial in read_result(directory).trials)
        if store_file(directory).exists()
        else 0
    )


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_nothing_is_lost(tmp_path: Path) -> None:
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, cores[-1:])  # as `taskset -c` does, for the server
    try:
        with served(arguments=LIMITS) as first:
            os.sched_setaffinity(0, cores)
            refused = search(first.address, tmp_path / "refused", 1, 0, token="not-the-token")
            one = search(first.address, tmp_path / "one", 20, 0)
            other = search(first.address, tmp_path / "other", 4, 1)
            while trials_told(tmp_path / "one") < 6:
                assert one.poll() is None, one.communicate()
                time.sleep(0.5)
            first.kill()
            time.sleep(15.0)
            os.sched_setaffinity(0, cores[-1:])
            with served(first.port, LIMITS):
                os.sched_setaffinity(0, cores)
                ended = [process.communicate(timeout=1200) for process in (one, other, refused)]
    finally:
        os.sched_setaffinity(0, cores)
    print(*(text for texts in ended for text in texts), sep="\n")
    assert (one.returncode, other.returncode) == (0, 0)
    for output, count in ((ended[0][0], 20), (ended[1][0], 4)):
        rows = [line.split(maxsplit=4) for line in output.splitlines() if re.match(r"\d+ (plain|large|slow) ", line)]
        assert len(rows) == count
        for _, kind, status, latency, *reason in rows:
            assert status == ("ok" if kind == "plain" else "error")
            if kind == "plain":
                assert float(latency) > 0
            else:
                (text,) = reason
                assert ("the server takes 512000" if kind == "large" else "its process was killed") in text
    away = [line for line in ended[0][1].splitlines() if "has not answered since" in line]
    back = [line for line in ended[0][1].splitlines() if "answers again" in line]
    assert len(away) == len(back) == 1
    assert refused.returncode == 1
    assert "DeviceRefusedError" in ended[2][1]
    assert "not-the-token" not in ended[2][1]
    log = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert TOKEN.encode() not in log
