"""Choices of a space are anything JSON holds, and reach the module as they are, also after a search goes on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ConfigSpace import Categorical, ConfigurationSpace

from lightning_primo import ParameterCount, RandomSearch, Search, read_result
from tests.search.tuned import TRAINER, Tuned, data

CHOICES: list[Any] = [None, [4, 2], {"class_path": "torch.optim.Adam"}, "x", 3]


def make(directory: Path, seen: list[Any]) -> Search:
    space = ConfigurationSpace()
    space.add(Categorical("choice", CHOICES))

    def build(config: dict[str, Any]) -> Tuned:
        seen.append(config["choice"])
        return Tuned()

    return Search(
        space,
        module=build,
        datamodule=data(),
        objectives=[ParameterCount()],
        epochs=(1, 1),
        directory=directory,
        algorithm=RandomSearch(),
        trainer=TRAINER,
    )


def test_none_lists_and_dicts_are_choices(tmp_path: Path) -> None:
    seen: list[Any] = []
    make(tmp_path, seen).run(trials=3, progress=False)
    result = make(tmp_path, seen).run(trials=5, progress=False)
    assert {repr(trial.config["choice"]) for trial in result.trials} == set(map(repr, CHOICES))
    assert {repr(choice) for choice in seen} == set(map(repr, CHOICES))
    assert [trial.config for trial in read_result(tmp_path).trials] == [trial.config for trial in result.trials]
    assert set(map(repr, result.to_pandas()["choice"])) == set(map(repr, CHOICES))
