"""Searches on the executors of others: what runs there is theirs, what happens to a trial is the same everywhere."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import loky
import pytest
from ConfigSpace import Categorical, ConfigurationSpace, Float

from lightning_primo import Metric, RandomSearch, Search
from lightning_primo.problem.trial import Status
from tests.workers.cluster_search import Net, data


class Fatal(Net):
    """Kills its process in its second epoch, if told to."""

    def __init__(self, lr: float, fatal: bool) -> None:
        super().__init__(lr=lr)
        self.fatal = fatal

    def on_train_epoch_start(self) -> None:
        if self.fatal and self.current_epoch == 1:
            os.kill(os.getpid(), signal.SIGKILL)


def spawning(workers: int) -> Executor:
    return ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn"))


@pytest.mark.slow
@pytest.mark.parametrize(
    "make", [ThreadPoolExecutor, ProcessPoolExecutor, spawning, loky.ProcessPoolExecutor, loky.get_reusable_executor]
)
def test_a_trial_that_kills_its_process_costs_only_itself(make: Callable[[int], Any], tmp_path: Path) -> None:
    space = ConfigurationSpace()
    space.add(Float("lr", (1e-4, 0.3), log=True), Categorical("fatal", [False, True]))
    with make(2) as executor:
        search = Search(
            space,
            module=Fatal,
            datamodule=data(),
            objectives=[Metric("val_loss")],
            epochs=(1, 2),
            algorithm=RandomSearch(),
            trainer={"accelerator": "cpu", "logger": False},
            directory=tmp_path,
            executor=executor,
            seed=1,
        )
        result = search.run(full_trainings=5, progress=False)
        assert executor.submit(os.getpid).result() > 0
    status = {trial.id: (trial.config["fatal"], trial.status) for trial in result.trials}
    assert sorted(status) == list(range(5))
    assert set(status.values()) == {(False, Status.OK), (True, Status.CRASHED)}
