from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from ConfigSpace import ConfigurationSpace, Float
from torchmetrics.classification import MulticlassAccuracy

from lightning_primo import Metric, RandomSearch, Search
from lightning_primo.algorithms import (
    CMAES,
    MOASHA,
    NSGA2,
    Algorithm,
    EvolutionarySampler,
    GridSearch,
    RegularizedEvolution,
    SobolSampler,
)
from lightning_primo.cli.search_file.search_file import read_algorithm, read_objectives
from lightning_primo.cli.search_file.space_file import SearchSpace, read_space
from lightning_primo.errors import InvalidArgumentError, StoreError
from lightning_primo.objectives import DeployedMetric, Latency, TorchMetric
from lightning_primo.objectives.benches.bench import LocalBench
from lightning_primo.pareto import nds_crowding_order
from lightning_primo.problem import Problem
from lightning_primo.problem.objective import Objective
from lightning_primo.problem.past import PastSearch
from lightning_primo.runtimes import Eager, FirstOf, OnnxRuntime, Quantised
from tests.tiny import Data, Net

ENTRY = """
class_path: TorchMetric
init_args:
  metric: {class_path: torchmetrics.classification.MulticlassAccuracy, init_args: {num_classes: 10, average: micro}}
  name: val_acc
"""


@pytest.mark.usefixtures("_quiet")
def test_a_torchmetrics_metric() -> None:
    (objective,) = read_objectives([yaml.safe_load(ENTRY)])
    assert isinstance(objective, TorchMetric)
    assert (objective.objective.name, objective.objective.mode) == ("val_acc", "max")
    assert objective.definition == TorchMetric(MulticlassAccuracy(num_classes=10, average="micro")).definition


def test_an_argument_that_the_metric_does_not_take_is_refused() -> None:
    with pytest.raises(InvalidArgumentError, match=r"'objectives' has 'TorchMetric'.*nclasses"):
        read_objectives([yaml.safe_load(ENTRY.replace("num_classes", "nclasses"))])


RUNTIME = """
class_path: Latency
init_args:
  device: cpu
  runtime:
    class_path: Quantised
    init_args: {runtime: {class_path: OnnxRuntime}, calibration_batches: 3}
"""


@pytest.mark.usefixtures("_quiet")
@pytest.mark.parametrize("prefix", ["", "lightning_primo."])
def test_runtimes_in_runtimes(prefix: str) -> None:
    text = RUNTIME.replace("class_path: ", f"class_path: {prefix}")
    (latency,) = read_objectives([yaml.safe_load(text)])
    assert isinstance(latency, Latency)
    expected = LocalBench("cpu", Quantised(OnnxRuntime(), calibration_batches=3))
    assert latency.bench == expected
    deployed = {"class_path": "DeployedMetric", "init_args": {"metric": "val_loss", "runtime": "OnnxRuntime"}}
    (metric,) = read_objectives([deployed])
    assert isinstance(metric, DeployedMetric)
    assert metric.runtime == OnnxRuntime()
    several = {"class_path": "FirstOf", "init_args": {"runtimes": ["OnnxRuntime", "Eager"]}}
    (fallback,) = read_objectives([{"class_path": "Latency", "init_args": {"runtime": several}}])
    assert isinstance(fallback, Latency)
    assert fallback.bench == LocalBench("auto", FirstOf([OnnxRuntime(), Eager()]))


@pytest.mark.usefixtures("_quiet")
def test_earlier_searches_are_directories(tmp_path: Path) -> None:
    space = ConfigurationSpace(seed=0)
    space.add(Float("lr", (1e-3, 1e-1)))
    result = Search(
        space,
        module=Net,
        datamodule=Data(),
        objectives=[Metric("val_loss")],
        algorithm=RandomSearch(),
        epochs=(1, 1),
        directory=tmp_path / "earlier",
        trainer={"accelerator": "cpu"},
    ).run(trials=2, progress=False)
    searched = SearchSpace(space, frozenset(), {})
    folder = str(tmp_path / "earlier")
    algorithm = read_algorithm({"class_path": "PriMO", "init_args": {"n_init": 3, "learn_from": [folder]}}, searched)
    assert algorithm is not None
    assert (algorithm.n_init, algorithm.learn_from) == (3, (PastSearch.of(result),))  # type: ignore[attr-defined]
    with pytest.raises(InvalidArgumentError, match=r"'learn_from' must be a list of the directories"):
        read_algorithm({"class_path": "PriMO", "init_args": {"learn_from": folder}}, searched)
    with pytest.raises(InvalidArgumentError, match=r"'RandomSearch', which does not learn"):
        read_algorithm({"class_path": "RandomSearch", "init_args": {"learn_from": [folder]}}, searched)
    with pytest.raises(StoreError, match="elsewhere"):
        read_algorithm({"class_path": "MSEHVI", "learn_from": [str(tmp_path / "elsewhere")]}, searched)


SPACE = """
model.lr: {float: [0.0001, 0.1], log: true}
model.widths: [[8, 8], [16, 8], null]
model.pool: ["1", "2", max]
"""


@pytest.mark.usefixtures("_quiet")
def test_a_grid_has_the_values_as_the_space_writes_them() -> None:
    points = "{model.lr: [0.1, 0.01], model.widths: [[16, 8], null], model.pool: ['1']}"
    entry = yaml.safe_load(f"{{class_path: GridSearch, init_args: {{points: {points}}}}}")
    space = read_space(yaml.safe_load(SPACE))
    algorithm = read_algorithm(entry, space)
    assert isinstance(algorithm, GridSearch)
    algorithm.start(Problem(space=space.space, objectives=(Objective(name="loss"),), max_epochs=1))
    grid = [proposal.config for proposal in iter(algorithm.ask, None)]
    decoded = {tuple(json.dumps(space.decode(key, value)) for key, value in config.items()) for config in grid}
    assert len(grid) == algorithm.size == 4
    assert decoded == {(lr, '"1"', widths) for lr in ("0.1", "0.01") for widths in ("[16, 8]", "null")}


@pytest.mark.usefixtures("_quiet")
@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ("GridSearch", GridSearch()),
        ("{class_path: GridSearch, init_args: {points: 4}}", GridSearch(points=4)),
        ("{class_path: GridSearch, init_args: {points: {model.lr: 4}}}", GridSearch(points={"model.lr": 4})),
        ("{class_path: CMAES, init_args: {population_size: 8, sigma: 0.2}}", CMAES(population_size=8, sigma=0.2)),
        ("{class_path: NSGA2, sampler: SobolSampler}", NSGA2(sampler=SobolSampler())),
        (
            "{class_path: RegularizedEvolution, ranking: lightning_primo.pareto.nds_crowding_order}",
            RegularizedEvolution(ranking=nds_crowding_order),
        ),
        (
            "{class_path: MOASHA, sampler: {class_path: EvolutionarySampler, init_args: {population_size: 9}}}",
            MOASHA(sampler=EvolutionarySampler(population_size=9)),
        ),
    ],
)
def test_algorithms_by_evolution_and_on_a_grid(entry: str, expected: Algorithm) -> None:
    assert repr(read_algorithm(yaml.safe_load(entry), read_space(yaml.safe_load(SPACE)))) == repr(expected)
