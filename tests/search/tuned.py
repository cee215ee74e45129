"""A small search over two hyperparameters, for the tests of what a search does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ConfigSpace import ConfigurationSpace, Float, Integer

from lightning_primo import Metric, ParameterCount, RandomSearch, Result, Search
from lightning_primo.problem.trial import Evaluation, Proposal
from lightning_primo.store import read_events
from tests.search.resume_script import Net, data

TRAINER = {"accelerator": "cpu", "logger": False}


class Tuned(Net):
    """Takes two hyperparameters by name."""

    def __init__(self, lr: float = 0.01, width: int = 4) -> None:
        super().__init__(width=width, lr=lr)


def small_space() -> ConfigurationSpace:
    space = ConfigurationSpace(seed=0)
    space.add(Float("lr", (1e-3, 0.1), log=True), Integer("width", (2, 9)))
    return space


def make(directory: Path, space: Any = None, **changes: Any) -> Search:
    arguments: dict[str, Any] = {
        "module": Tuned,
        "datamodule": data(),
        "objectives": [Metric("val_loss"), ParameterCount()],
        "algorithm": RandomSearch(),
        "epochs": (1, 2),
        "trainer": TRAINER,
    }
    return Search(small_space() if space is None else space, directory=directory, **{**arguments, **changes})


def run(search: Search, **budget: Any) -> Result:
    return search.run(progress=False, **(budget or {"trials": 2}))


def events(directory: Path) -> list[Proposal | Evaluation]:
    return [event for event, _ in read_events(directory)]
