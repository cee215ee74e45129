"""The process that loads an artefact: what it imports, and when it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from lightning_primo.errors import RuntimeMissingError
from lightning_primo.runtimes import Artefact, OnnxRuntime, resident_memory
from lightning_primo.runtimes.loading_process import load_in_process
from tests.lean_imports import search_path
from tests.workers.test_local_processes import ROOT, wait_until_dead

RUNTIME = OnnxRuntime()
INPUT = np.zeros((1, 8), np.float32)

pytestmark = pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="Linux alone tells of a peak")


@pytest.fixture(scope="module")
def artefact(tmp_path_factory: pytest.TempPathFactory) -> Artefact:
    return RUNTIME.export(nn.Linear(8, 4), torch.zeros(1, 8), tmp_path_factory.mktemp("artefact"))


# Its input is a pipe that nobody writes to: reading it hangs.
HANGS = """
import os, subprocess, sys
from pathlib import Path
import numpy as np
from lightning_primo.runtimes import Artefact, OnnxRuntime
from lightning_primo.runtimes.loading_process import load_in_process

class Told(subprocess.Popen):
    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        print(self.pid, flush=True)

subprocess.Popen = Told
np.save = lambda path, array, **options: os.mkfifo(path)
artefact = Artefact.of_files(Path(sys.argv[1]), "onnx", inputs=(), outputs=())
load_in_process(OnnxRuntime(), artefact, [np.zeros((1, 8), np.float32)], threads=1)
"""


def test_it_ends_with_a_parent_that_is_killed(artefact: Artefact, tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", HANGS, artefact.path],
        env={**os.environ, "PYTHONPATH": search_path(ROOT), "TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        text=True,
    ) as parent:
        assert parent.stdout is not None
        loading = int(parent.stdout.readline())
        parent.kill()
    try:
        wait_until_dead([loading])
    finally:
        with suppress(ProcessLookupError):
            os.kill(loading, signal.SIGKILL)


def test_what_lies_in_the_current_folder_is_not_imported(
    artefact: Artefact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Relative paths are those of the current folder all the same."""
    project = tmp_path / "project"
    (project / "beside").mkdir(parents=True)
    (project / "statistics.py").write_text("raise SystemExit('of the project')")
    (project / "beside" / "sitecustomize.py").write_text(f"open({str(tmp_path / 'seen')!r}, 'w').close()")
    monkeypatch.chdir(project)
    monkeypatch.setenv("PYTHONPATH", "beside")
    relative = Artefact.of_files(
        Path(os.path.relpath(artefact.path)), artefact.format, inputs=artefact.inputs, outputs=artefact.outputs
    )
    assert load_in_process(RUNTIME, relative, [INPUT], threads=1).peak > 0
    assert (tmp_path / "seen").exists()


def test_asking_whether_a_peak_is_told_leaves_that_of_this_process() -> None:
    import resource

    np.ones(25_000_000)  # 200 MB, gone at once
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    resident_memory.require_readable()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >= before


def test_a_peak_that_cannot_be_reset_is_refused(artefact: Artefact, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resident_memory, "_PEAK_IS_NOW", Path("/dev/full"))  # it opens, and takes nothing
    resident_memory.require_readable()
    with pytest.raises(RuntimeMissingError, match=r"told by Linux alone.*OSError"):
        resident_memory.resident_memory(RUNTIME, artefact, lambda: [INPUT])
