"""Trainings that are killed or interrupted, in processes of their own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lightning_primo.layout import CHECKPOINT
from lightning_primo.training import run_job
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


def started(directory: Path, workers: int = 0) -> subprocess.Popen[str]:
    """A process that has trained for 3 of 5 epochs and is in the fourth."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", SLOW_EPOCHS, str(directory), str(workers)],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    for _ in range(1200):
        if (directory / "in-epoch-4").exists():
            return process
        assert process.poll() is None, "the process ended"
        time.sleep(0.05)
    process.kill()
    raise AssertionError("the training did not get anywhere")


@pytest.mark.parametrize("workers", [0, pytest.param(2, marks=pytest.mark.slow)])
def test_killed_equals_uninterrupted(tmp_path: Path, workers: int) -> None:
    process = started(tmp_path, workers)
    process.kill()
    process.communicate()
    assert (tmp_path / CHECKPOINT).exists()

    resumed = run_job(make_job(tmp_path, 5, module=Net, data=Data(workers=workers)))
    whole = run_job(make_job(tmp_path / "whole", 5, module=Net, data=Data(workers=workers)))
    assert (resumed.losses, resumed.curve, resumed.cost) == (whole.losses, whole.curve, 5.0)
    assert same_state(state(tmp_path), state(tmp_path / "whole"))


def test_ctrl_c_comes_out_as_keyboard_interrupt(tmp_path: Path) -> None:
    process = started(tmp_path)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=30)
    assert (output.strip(), process.returncode) == ("interrupted", 0)


def test_an_interrupt_leaves_the_handler_in_place(tmp_path: Path) -> None:
    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        run_job(make_job(tmp_path, 3, config={"behaviour": "interrupt"}))
    assert signal.getsignal(signal.SIGINT) is handler
