"""Trainings that are killed or interrupted, in processes of their own."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lightning_primo.layout import CHECKPOINT
from lightning_primo.training import run_job
from tests.forks import Forks, Process
from tests.lean_imports import search_path
from tests.tiny import Data, Net, same_state
from tests.training.jobs import make_job, state

ROOT = Path(__file__).parents[2]

SLOW_EPOCHS = """
import signal, sys, time
from pathlib import Path
from lightning_primo.training import run_job
from tests.tiny import Data, Net
from tests.training.jobs import make_job

class Slow(Net):
    def on_train_batch_start(self, batch, batch_idx):
        if self.current_epoch == 3:
            Path(sys.argv[1], "in-epoch-4").touch()
            time.sleep(60)

handler = signal.getsignal(signal.SIGINT)
try:
    data = Data(workers=int(sys.argv[2]))
    run_job(make_job(Path(sys.argv[1]), 5, module=Slow, data=data, checkpoint_every_seconds=0.0))
except KeyboardInterrupt:
    assert signal.getsignal(signal.SIGINT) is handler
    print("interrupted", flush=True)
"""


@contextmanager
def started(forks: Forks, directory: Path, workers: int = 0) -> Iterator[Process]:
    """A process that has trained for 3 of 5 epochs and is in the fourth."""
    script = directory / "script.py"
    script.write_text(SLOW_EPOCHS)
    with forks.started([script, directory, str(workers)], env={"PYTHONPATH": search_path(ROOT)}) as process:
        while not (directory / "in-epoch-4").exists():
            assert process.runs(), process.stderr
            time.sleep(0.05)
        yield process


@pytest.mark.parametrize("workers", [0, pytest.param(2, marks=pytest.mark.slow)])
def test_killed_equals_uninterrupted(forks: Forks, tmp_path: Path, workers: int) -> None:
    with started(forks, tmp_path, workers) as process:
        os.kill(process.pid, signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
    assert (tmp_path / CHECKPOINT).exists()

    resumed = run_job(make_job(tmp_path, 5, module=Net, data=Data(workers=workers)))
    whole = run_job(make_job(tmp_path / "whole", 5, module=Net, data=Data(workers=workers)))
    assert (resumed.losses, resumed.curve, resumed.cost) == (whole.losses, whole.curve, 5.0)
    assert same_state(state(tmp_path), state(tmp_path / "whole"))


def test_ctrl_c_comes_out_as_keyboard_interrupt(forks: Forks, tmp_path: Path) -> None:
    with started(forks, tmp_path) as process:
        os.kill(process.pid, signal.SIGINT)
        assert process.wait() == 0
    assert process.stdout.strip() == "interrupted"


def test_an_interrupt_leaves_the_handler_in_place(tmp_path: Path) -> None:
    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        run_job(make_job(tmp_path, 3, config={"behaviour": "interrupt"}))
    assert signal.getsignal(signal.SIGINT) is handler
