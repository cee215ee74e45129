"""A small search to be killed and started again: reads commands, a line of JSON each, and forks a process for each.

The imports take seconds, a search of a dozen trials hardly longer; forking pays for them once. A command says where the
search is, how far it goes, and which signal the process sends itself at which moment.
"""

from __future__ import annotations

import json
import os
import pathlib
import signal
import sys
import threading
import traceback
import warnings
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))

import lightning.pytorch as pl
import torch
from ConfigSpace import Categorical, ConfigurationSpace, EqualsCondition, Float, GreaterThanCondition, Integer
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from lightning_primo import (
    MOASHA,
    PBT,
    BulkAndCut,
    KFoldData,
    Metric,
    ParameterCount,
    PriMO,
    Prior,
    RandomSearch,
    Search,
)
from lightning_primo.algorithms import Algorithm
from lightning_primo.errors import CheckpointWarning
from lightning_primo.store import Store
from lightning_primo.training import Job
from lightning_primo.training.plan import TrainingPlan
from tests.coarse import search_coarsely

EPOCHS = (1, 3)


class Net(pl.LightningModule):
    """Dropout, batch normalisation and shuffled data, so that a training that is repeated differently shows."""

    def __init__(self, width: int = 4, lr: float = 0.01, dropout: float = 0.0, norm: bool = False) -> None:
        super().__init__()
        self.lr = lr
        norms: list[nn.Module] = [nn.BatchNorm1d(width)] if norm else []
        self.net = nn.Sequential(nn.Linear(3, width), *norms, nn.ReLU(), nn.Dropout(dropout), nn.Linear(width, 1))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.net(x)
        return out

    def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
        return nn.functional.mse_loss(self(batch[0]), batch[1])

    def validation_step(self, batch: list[Tensor], batch_idx: int) -> None:
        self.log("val_loss", nn.functional.mse_loss(self(batch[0]), batch[1]))

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.Adam(self.parameters(), lr=self.lr)
        return [optimizer], [torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, self.trainer.max_epochs or 1)]


def space() -> ConfigurationSpace:
    space = ConfigurationSpace(seed=0)
    regularised, dropout = Categorical("regularised", [True, False]), Float("dropout", (0.1, 0.6))
    space.add(Float("lr", (1e-4, 0.3), log=True), Integer("width", (2, 64), log=True), regularised, dropout)
    space.add(EqualsCondition(dropout, regularised, True))
    return space


def build(config: dict[str, Any]) -> Net:
    regularised = bool(config["regularised"])
    return Net(config["width"], config["lr"], config.get("dropout", 0.0), norm=regularised)


def data() -> tuple[DataLoader[Any], DataLoader[Any]]:
    x = torch.randn(48, 3, generator=torch.Generator().manual_seed(0))
    y = (x.sin().sum(1, keepdim=True) + 0.1 * x[:, :1] ** 2).float()
    train, val = TensorDataset(x[:32], y[:32]), TensorDataset(x[32:], y[32:])
    return DataLoader(train, batch_size=8, shuffle=True), DataLoader(val, batch_size=16)


def make_search(directory: str | Path, **changes: Any) -> Search:
    arguments: dict[str, Any] = {
        "module": build,
        "datamodule": data(),
        "objectives": [Metric("val_loss"), ParameterCount(at_most=300)],
        "algorithm": PriMO(n_init=2, priors={"val_loss": Prior({"lr": 1e-2}, confidence=0.5)}),
        "epochs": EPOCHS,
        "trainer": {"accelerator": "cpu", "logger": False},
    }
    return Search(space(), directory=directory, **{**arguments, **changes})


class Part(NamedTuple):
    layer: nn.Linear
    after: tuple[nn.Module, ...] = ()
    width: str | None = None


class Growing(Net):
    """Layers with normalisation and dropout that can be deepened and pruned."""

    training_hyperparameters = ("lr",)

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__(lr=config["lr"])
        sizes = [3, *(config[f"width_{i}"] for i in range(1, config["n_layers"] + 1))]
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.Linear(a, b), nn.ReLU(), nn.BatchNorm1d(b), nn.Dropout(0.1)) for a, b in pairwise(sizes)
        )
        self.net = nn.Sequential(*self.blocks, nn.Linear(sizes[-1], 1))
        self.example_input_array = torch.zeros(2, 3)

    def stages(self) -> list[Part]:
        parts = [Part(block[0], tuple(block[1:]), f"width_{i}") for i, block in enumerate(self.blocks, 1)]
        return [*parts, Part(self.net[-1])]

    @staticmethod
    def deeper(config: dict[str, Any]) -> list[dict[str, Any]]:
        widths = [config[f"width_{i}"] for i in range(1, config["n_layers"] + 1)]
        grown = [[*widths[:i], *widths[i - 1 :]] for i in range(1, len(widths) + 1)]
        return [{**config, "n_layers": len(w), **{f"width_{i}": n for i, n in enumerate(w, 1)}} for w in grown]


def growing_space() -> ConfigurationSpace:
    space = ConfigurationSpace(seed=0)
    n_layers = Integer("n_layers", (1, 3))
    widths = [Integer(f"width_{i}", (2, 32), log=True) for i in (1, 2, 3)]
    space.add(n_layers, *widths, Float("lr", (1e-4, 0.3), log=True))
    space.add(*(GreaterThanCondition(widths[i], n_layers, i) for i in (1, 2)))
    return space


def make_growing_search(directory: str | Path, **changes: Any) -> Search:
    arguments: dict[str, Any] = {
        "module": lambda config: Growing(config),
        "datamodule": data(),
        "objectives": [Metric("val_loss"), ParameterCount()],
        "algorithm": BulkAndCut(full_trainings=9),
        "epochs": EPOCHS,
        "trainer": {"accelerator": "cpu", "logger": False},
    }
    return Search(growing_space(), directory=directory, **{**arguments, **changes})


def make_population_search(directory: str | Path, **changes: Any) -> Search:
    return make_search(directory, **{"algorithm": PBT(population=4), **changes})


def save_every_level() -> None:
    """Let each trial write a checkpoint wherever it could go on from."""
    plain = TrainingPlan.job

    def job(self: TrainingPlan, *args: Any, **kwargs: Any) -> Job:
        return replace(plain(self, *args, **kwargs), checkpoint_every_seconds=0.0)

    TrainingPlan.job = job  # type: ignore[method-assign]


def make_search_by_steps(directory: str | Path, **changes: Any) -> Search:
    """Of 4 batches to an epoch, and rungs inside of them."""
    save_every_level()
    return make_search(directory, **{"epochs": None, "steps": (3, 9), **changes})


def make_search_by_data(directory: str | Path, **changes: Any) -> Search:
    """On a third of the data or all, three epochs each."""
    save_every_level()
    trainer = {"accelerator": "cpu", "logger": False, "max_epochs": EPOCHS[1]}
    return make_search(directory, **{"epochs": None, "data": (1 / 3, 1), "trainer": trainer, **changes})


def make_folded_search_by_data(directory: str | Path) -> Search:
    return make_folded_search(directory, make=make_search_by_data, algorithm=MOASHA())


def make_growing_search_by_data(directory: str | Path) -> Search:
    save_every_level()
    trainer = {"accelerator": "cpu", "logger": False, "max_epochs": EPOCHS[1]}
    return make_growing_search(directory, epochs=None, data=(1 / 3, 1), trainer=trainer)


def make_growing_search_by_steps(directory: str | Path) -> Search:
    save_every_level()
    return make_growing_search(directory, epochs=None, steps=(3, 9))


def make_population_search_by_steps(directory: str | Path) -> Search:
    return make_search_by_steps(directory, algorithm=PBT(population=4))


def make_folded_search(directory: str | Path, *, make: Callable[..., Search] = make_search, **changes: Any) -> Search:
    """Two folds of each trial; every third trial or so is given up after the first."""
    train, val = data()
    x, y = (torch.cat(pair) for pair in zip(train.dataset[:], val.dataset[:], strict=True))  # type: ignore[index]
    folded = KFoldData(TensorDataset(x, y), batch_size=8)
    return make(directory, **{"datamodule": folded, "folds": 2, "algorithm": RandomSearch(), **changes})


def make_begun_search(directory: str | Path, **changes: Any) -> Search:
    """One in which configurations are given, and results known."""
    first = [{"lr": 0.01, "width": 8}, {"lr": 0.1, "regularised": False}]
    known = [
        ({"lr": 0.03, "width": 4, "regularised": False}, {"val_loss": 0.9}),
        ({"lr": 0.003, "width": 16, "regularised": True, "dropout": 0.3}, {"val_loss": 1.2}, 1),
    ]
    return make_search(directory, **{"first": first, "known": known, **changes})


SEARCHES = {
    "primo": make_search,
    "bulk-and-cut": make_growing_search,
    "pbt": make_population_search,
    "steps": make_search_by_steps,
    "pbt by steps": make_population_search_by_steps,
    "bulk-and-cut by steps": make_growing_search_by_steps,
    "data": make_search_by_data,
    "folds by data": make_folded_search_by_data,
    "bulk-and-cut by data": make_growing_search_by_data,
    "folds": make_folded_search,
    "begun": make_begun_search,
}


def strike(moment: str, number: int, signal_number: int) -> None:
    """Send this process a signal the `number`-th time that a moment comes."""
    left = number

    def tick() -> None:
        nonlocal left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal_number)

    def surround(owner: Any, name: str, *, after: bool, when: Callable[..., bool] = lambda *args: True) -> None:
        original = getattr(owner, name)

        def wrapped(*args: Any, **kwargs: Any) -> Any:
            if not after and when(*args):
                tick()
            result = original(*args, **kwargs)
            if after and when(*args):
                tick()
            return result

        setattr(owner, name, wrapped)

    if moment == "preflight":
        surround(Net, "training_step", after=False, when=lambda module, *args: module.trainer.fast_dev_run)
    elif moment == "training":
        surround(Net, "training_step", after=False, when=lambda module, *args: not module.trainer.fast_dev_run)
    elif moment == "asking":  # inside of the algorithm
        surround(PriMO, "_bayesian", after=False)
        surround(BulkAndCut, "_with_training", after=False)
        surround(PBT, "_fork", after=False)
    elif moment == "asked":  # known to the algorithm, not stored
        surround(Algorithm, "ask", after=True)
    elif moment == "told":  # stored, not known to the algorithm
        surround(Algorithm, "tell", after=False)
    elif moment == "saved":  # the checkpoint is written, but not in its place
        surround(pathlib.Path, "replace", after=False, when=lambda path, *args: path.name.endswith(".partial"))
    elif moment == "evaluated":  # trained, not stored
        surround(Store, "tell", after=False)
    elif moment == "stored":  # a proposal is, but nothing was done
        surround(Store, "ask", after=True)
    elif moment == "milliseconds":
        timer = threading.Timer(number / 1000, os.kill, (os.getpid(), signal_number))
        timer.daemon = True
        timer.start()
    else:
        raise ValueError(moment)


def logged(log: str, action: Callable[[], None]) -> int:
    """The exit code of a process that does `action`, whose output goes to the end of `log`."""
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    try:
        action()
    except BaseException:
        traceback.print_exc()
        return 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
    return 0


def carry_out(command: dict[str, Any]) -> None:
    search = SEARCHES[command["search"]](command["directory"])
    if "moment" in command:
        strike(command["moment"], command["number"], command["signal"])
    search.run(full_trainings=command["full_trainings"], progress=False, report=False)


def serve() -> None:
    torch.set_num_threads(1)
    search_coarsely()
    warnings.simplefilter("error", CheckpointWarning)  # a child without its parent's weights would be as reproducible
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            signal.signal(signal.SIGINT, signal.default_int_handler)
            command = json.loads(line)
            os._exit(logged(command["log"], lambda: carry_out(command)))  # noqa: B023
        _, status = os.waitpid(pid, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    serve()
