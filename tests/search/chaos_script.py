"""A search to be killed at any moment from outside: reads commands, a line of JSON each, and forks a process for each.

As `resume_script`, which strikes from within, at chosen lines. Here the process says which phase it is in, in a file,
so that a kill by the clock can be told from others, or wait for one.
"""

from __future__ import annotations

import json
import os
import sys
import time
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))

import torch
from torch.utils.data import DataLoader, TensorDataset

from lightning_primo import Latency, Metric, ParameterCount, PriMO, Prior, Search
from lightning_primo.algorithms import Algorithm
from lightning_primo.errors import CheckpointWarning
from lightning_primo.objectives.benches import bench
from lightning_primo.runtimes import latency
from lightning_primo.search import loop, session
from lightning_primo.store import Store
from lightning_primo.training import Job
from lightning_primo.training.checkpoint.recorder import Recorder
from lightning_primo.training.plan import TrainingPlan
from tests.machine import Machine
from tests.search.resume_script import Net, build, logged, make_search

PHASE_BYTES = 32
STARTING, TRYING, ASKING, TRAINING = "starting", "trying a batch out", "asking", "training"
SAVING, RECORDING, MEASURING, ENDING = "writing a checkpoint", "recording", "measuring again", "ending"
PHASES = (STARTING, TRYING, ASKING, TRAINING, SAVING, RECORDING, MEASURING, ENDING)

_MEASUREMENT_SECONDS = 0.1


class Chip(Machine):
    """Its latencies take their time, and follow from the network."""

    def latency(self, module: Any) -> float:
        time.sleep(_MEASUREMENT_SECONDS)
        return 1e-5 * float(module.net[0].out_features)


def called(config: dict[str, Any]) -> Net:
    module = build(config)
    module.example_input_array = torch.zeros(2, 3)
    return module


def data() -> tuple[DataLoader[Any], DataLoader[Any]]:
    """The data in a process of its own."""
    x = torch.randn(48, 3, generator=torch.Generator().manual_seed(0))
    y = x.sin().sum(1, keepdim=True)
    train, val = TensorDataset(x[:32], y[:32]), TensorDataset(x[32:], y[32:])
    return DataLoader(train, batch_size=8, shuffle=True, num_workers=1), DataLoader(val, batch_size=16)


def alone(directory: Path) -> Search:
    """Of one worker: promotions, Bayesian optimisation, a latency that is measured again."""
    objectives = [Metric("val_loss"), ParameterCount(at_most=300), Latency("cpu")]
    priors = {"val_loss": Prior({"lr": 1e-2}, confidence=0.5)}
    algorithm = PriMO(n_init=4, priors=priors)
    return make_search(directory, module=called, datamodule=data(), objectives=objectives, algorithm=algorithm)


def in_two_processes(directory: Path) -> Search:
    """Of two workers."""
    return make_search(directory, datamodule=data(), workers=2)


SEARCHES = {"alone": alone, "in two processes": in_two_processes}


class Phase:
    """Says in a file what the process does."""

    def __init__(self, path: str) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT)
        self._now = ""
        self.say(STARTING)

    def say(self, phase: str) -> str:
        """What it was before."""
        before, self._now = self._now, phase
        os.pwrite(self._file, phase.ljust(PHASE_BYTES).encode(), 0)
        return before

    def surround(self, owner: Any, name: str, phase: str) -> None:
        """Let a function of `owner` be a phase."""
        original = getattr(owner, name)

        def wrapped(*args: Any, **kwargs: Any) -> Any:
            before = self.say(phase)
            try:
                return original(*args, **kwargs)
            finally:
                self.say(before)

        setattr(owner, name, wrapped)


def report_phases(path: str) -> Phase:
    """What the controller does, from now on."""
    phase = Phase(path)
    phase.surround(session, "preflight", TRYING)
    phase.surround(session, "measure_front_again", MEASURING)
    phase.surround(loop.Loop, "run", TRAINING)
    phase.surround(Algorithm, "ask", ASKING)
    phase.surround(Recorder, "_save", SAVING)
    phase.surround(Store, "ask", RECORDING)
    phase.surround(Store, "tell", RECORDING)
    return phase


def save_every_epoch() -> None:
    """Let each trial write a checkpoint at the end of every epoch."""
    plain = TrainingPlan.job

    def job(self: TrainingPlan, *args: Any, **kwargs: Any) -> Job:
        return replace(plain(self, *args, **kwargs), checkpoint_every_seconds=0.0)

    TrainingPlan.job = job  # type: ignore[method-assign]


def carry_out(command: dict[str, Any]) -> None:
    os.setsid()
    phase = report_phases(command["phase"])
    made = SEARCHES[command["search"]](Path(command["directory"]))
    made.run(full_trainings=command["full_trainings"], progress=False)
    phase.say(ENDING)


def serve() -> None:
    torch.set_num_threads(1)
    warnings.simplefilter("error", CheckpointWarning)  # what is trained from scratch would hide what was lost
    chip = Chip()
    latency.measure_latency = chip.measure
    bench.measure_latency = chip.glance
    bench.device_name = lambda device: chip.name
    save_every_epoch()
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            command = json.loads(line)
            os._exit(logged(command["log"], lambda: carry_out(command)))  # noqa: B023
        print(pid, flush=True)
        _, status = os.waitpid(pid, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    serve()
