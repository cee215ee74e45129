from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from ConfigSpace import (
    Beta,
    Categorical,
    ConfigurationSpace,
    Constant,
    EqualsCondition,
    Float,
    ForbiddenAndConjunction,
    ForbiddenEqualsClause,
    ForbiddenInClause,
    InCondition,
    Integer,
    Normal,
    OrConjunction,
)

from lightning_primo import (
    FLOPs,
    Latency,
    Metric,
    ParameterCount,
    PriMO,
    Prior,
    Search,
    read_result,
)
from lightning_primo.errors import CorruptStoreError, InvalidArgumentError, PrimoError, StoreError
from lightning_primo.problem import Problem
from lightning_primo.search.description import describe
from lightning_primo.search.stored_search import StoredSearch
from lightning_primo.store import Store
from lightning_primo.store.described_problem import problem_of
from tests.cli.searches import written
from tests.store.files import certify
from tests.tiny import Data, Net


def every_kind() -> ConfigurationSpace:
    space = ConfigurationSpace()
    kind, flag = Categorical("kind", ["a", "b"], weights=[0.2, 0.8]), Categorical("flag", [True, False])
    depth = Categorical("depth", [1, 2, 3], default=3, ordered=True)
    lr, width = Float("lr", (1e-5, 1.0), log=True), Integer("width", (1, 64), log=True)
    space.add(kind, flag, depth, lr, width, Constant("fixed", 3.5))
    space.add(Float("normal", (0, 1), distribution=Normal(0.5, 0.1)), Integer("beta", (1, 9), distribution=Beta(2, 3)))
    space.add(OrConjunction(EqualsCondition(lr, flag, True), InCondition(lr, depth, [1, 2])))
    space.add(EqualsCondition(width, kind, "b"))
    space.add(ForbiddenAndConjunction(ForbiddenEqualsClause(kind, "a"), ForbiddenInClause(depth, [1, 2])))
    return space


def test_a_problem_comes_back_from_its_description() -> None:
    objectives = [Metric("accuracy", mode="max", reference=0.1), Latency("cpu", at_most=0.1, batch_size=4)]
    constraints = [FLOPs(at_least=10, at_most=1e7)]
    problem = Problem(
        space=every_kind(),
        objectives=tuple(callback.objective for callback in objectives),
        constraints=tuple(callback.objective for callback in constraints),
        min_epochs=3,
        max_epochs=27,
    )
    algorithm = PriMO(priors={"accuracy": Prior({"lr": 1e-3}, confidence=0.75)})
    description = describe(problem, objectives=objectives, constraints=constraints, algorithm=algorithm, seed=7)
    read = problem_of(description, Path("runs"))
    assert read.objectives == problem.objectives
    assert read.constraints == problem.constraints
    assert (read.min_epochs, read.max_epochs) == (3, 27)
    assert list(read.space) == list(problem.space)
    assert read.space.to_serialized_dict() == problem.space.to_serialized_dict()


def searched(directory: Path) -> Any:
    search = Search(
        ConfigurationSpace({"lr": (1e-3, 1e-1), "width": (2, 8)}),
        module=Net,
        datamodule=Data,
        objectives=[Metric("val_loss", mode="min"), ParameterCount()],
        epochs=(2, 2),
        algorithm=PriMO(),
        directory=directory,
        trainer={"accelerator": "cpu"},
        seed=5,
    )
    return search.run(full_trainings=2, progress=False)


def test_a_result_is_read_from_the_directory_alone(tmp_path: Path) -> None:
    made = searched(tmp_path / "search")
    read = read_result(tmp_path / "search")
    pd.testing.assert_frame_equal(read.to_pandas(), made.to_pandas())
    assert read.summary() == made.summary()
    exported, again = read.export(tmp_path / "front"), made.export(tmp_path / "again")
    assert {path.name for path in exported.iterdir()} == {path.name for path in again.iterdir()}
    with pytest.raises(PrimoError, match=r"without the code that builds its modules; give it by read_result\("):
        read.load(0)
    with pytest.raises(PrimoError, match="without the code"):
        read.test()
    best = read.front[0]
    loaded = read_result(tmp_path / "search", module=Net, datamodule=Data).load(best)
    assert isinstance(loaded, Net)
    assert loaded.lr == best.config["lr"]
    with pytest.raises(InvalidArgumentError, match=r"nothing takes the hyperparameter .*'width'"):
        read_result(tmp_path / "search", module=Narrow)


class Narrow(Net):
    def __init__(self, lr: float = 0.1) -> None:
        super().__init__(lr)


def test_what_is_read_is_what_was_stored_so_far(tmp_path: Path) -> None:
    log = written(tmp_path)
    search = StoredSearch.open(tmp_path)
    assert search.problem.objectives == log.problem.objectives
    assert (search.algorithm["class"], search.seed, len(search.events)) == ("RandomSearch", 3, len(log.events))
    with Store(tmp_path, search.description):  # while another has it
        assert len(read_result(tmp_path).trials) == 8


def test_directories_without_a_search_name_those_nearby(tmp_path: Path) -> None:
    written(tmp_path / "runs" / "digits")
    written(tmp_path / "runs" / "compare" / "seed_0")
    both = f"searches nearby: {tmp_path}/runs/compare/seed_0, {tmp_path}/runs/digits"
    with pytest.raises(StoreError, match=rf"'{tmp_path}/runs' holds no search: .*; {both}$"):
        read_result(tmp_path / "runs")
    with pytest.raises(StoreError, match=rf"'{tmp_path}/runs/digit' does not exist; {both}$"):
        read_result(tmp_path / "runs" / "digit")
    with pytest.raises(StoreError, match="is a file; give the directory"):
        read_result(tmp_path / "runs" / "digits" / "search.sqlite")
    (tmp_path / "empty").mkdir()
    with pytest.raises(StoreError, match=r"there is no file 'search\.sqlite' in it$"):
        read_result(tmp_path / "empty")


def test_a_description_of_another_version_is_told(tmp_path: Path) -> None:
    written(tmp_path)
    with sqlite3.connect(tmp_path / "search.sqlite") as connection:
        connection.execute("UPDATE description SET value = '{\"hyperparameters\": 3}' WHERE key = 'space'")
    connection.close()
    certify(tmp_path)
    with pytest.raises(CorruptStoreError, match=r"does not say what was searched .* open it by the Search that made"):
        read_result(tmp_path)
