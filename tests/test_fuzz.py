"""Arguments and search files that nobody would write on purpose: what cannot work is refused by errors of our own.

Nothing is built or trained. ``FUZZ_EXAMPLES`` says how many cases there are of each kind.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import inspect
import math
import os
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import pytest
import torch
import yaml
from ConfigSpace import ConfigurationSpace
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torchmetrics.classification import BinaryAccuracy

from lightning_primo import (
    CMAES,
    MOASHA,
    MOBANANAS,
    MOBOHB,
    MSEHVI,
    NSGA2,
    PB2,
    PBT,
    SHEMOA,
    Algorithm,
    AugmentedChebyshev,
    BayesianOptimization,
    BulkAndCut,
    CentersFirst,
    Continuation,
    Energy,
    EvolutionarySampler,
    FLOPs,
    FreezeThaw,
    FullTrainings,
    GridSearch,
    Hyperband,
    HypervolumeImprovement,
    KFoldData,
    Latency,
    LogExpectedImprovement,
    Metric,
    NoImprovement,
    ParameterCount,
    PeakMemory,
    Perturb,
    PriMO,
    Prior,
    PriorSampler,
    RandomSearch,
    RegularizedEvolution,
    RungStack,
    Search,
    SobolSampler,
    Study,
    SuccessiveHalving,
    Target,
    TorchMetric,
    TrainingTime,
    UniformSampler,
    WeightedSum,
    read_result,
)
from lightning_primo.callbacks import (
    NonFiniteGuard,
    ReproducibleEpochs,
    ReproducibleSteps,
    ScheduledHyperparameters,
    StopAtEpoch,
    TimeLimit,
    ValidationAtSteps,
)
from lightning_primo.cli.commands.search import PASSED_ON, parser
from lightning_primo.cli.project.project import Project
from lightning_primo.cli.search_file.beginning_file import (
    own_config_first,
    read_continues,
    read_first,
    read_known,
    with_own_defaults,
)
from lightning_primo.cli.search_file.length_options import name_of_length
from lightning_primo.cli.search_file.limits import own_epochs, read_lengths, read_stop
from lightning_primo.cli.search_file.search_file import read_algorithm, read_constraints, read_objectives
from lightning_primo.cli.search_file.space_file import read_space
from lightning_primo.errors import PrimoError
from lightning_primo.pareto import nds_crowding_order
from lightning_primo.problem import Fidelity, Problem, Steps
from lightning_primo.problem.objective import Kind, Objective
from lightning_primo.search import StoppingRule
from lightning_primo.search.budget import Budget
from lightning_primo.search.stopping import check_rules
from lightning_primo.training.out_of_memory.micro_batches import MicroBatches

N_CASES = int(os.environ.get("FUZZ_EXAMPLES", "75"))

cases = settings(
    max_examples=N_CASES,
    deadline=None,
    database=None,
    derandomize="FUZZ_EXAMPLES" not in os.environ,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture, HealthCheck.filter_too_much],
)


class Unprintable:
    """An object of a user whose repr fails."""

    def __repr__(self) -> str:
        raise RuntimeError("no repr")


class Net(pl.LightningModule):
    """Takes the hyperparameter of the space; never built here."""

    def __init__(self, lr: float = 0.1) -> None:
        super().__init__()


SPACE = {"lr": (1e-4, 1e-1)}

PLAIN: list[Any] = [
    *(None, True, False, 0, 1, -1, 2, 3, 7, 2**31, 2**63, 2**64, 10**30, 10**400, 10**5000, -(10**400)),
    *(0.0, -0.0, 0.5, 1.0, 1.5, -0.5, 1e-320, 1e308, -1e308, math.nan, math.inf, -math.inf),
    *("", "x", "1", "0.5", "false", "no", "min", "max", "val_loss", "lr", "cpu", "auto", "cuda:99", "a\0b", "\ud800"),
    *("~nosuchuser/x", "\x1b[31mred", "$\\frac{$", "a" * 5000),
    *(
        [],
        [1],
        [1, 3],
        (1, 3),
        (0.2, 0.3, 0.5),
        ("a", "b", "c"),
        {},
        {"lr": 0.01},
        {1: 2},
        {"val_loss": 3},
        set(),
        b"x",
    ),
    *(1j, np.float32(0.5), np.int64(3), np.bool_(True), np.array([1, 2]), range(3), Ellipsis, object(), Unprintable()),
    *(
        int,
        len,
        lambda config: config,
        torch.float32,
        torch.int8,
        torch.device("cpu"),
        Path("runs"),
        Net,
        BinaryAccuracy,
    ),
]
OURS: list[Callable[[], Any]] = [
    *(
        UniformSampler,
        SobolSampler,
        RandomSearch,
        MOASHA,
        WeightedSum,
        AugmentedChebyshev,
        LogExpectedImprovement,
        HypervolumeImprovement,
        FullTrainings,
        RungStack,
        FreezeThaw,
        ParameterCount,
        BinaryAccuracy,
    ),
    *(lambda: Prior({"lr": 0.01}), lambda: {"val_loss": Prior({"lr": 0.01})}, lambda: {"val_loss": Prior({"lr": 99})}),
    *(EvolutionarySampler, lambda: {"lr": [0.01, 0.1]}, lambda: {"lr": 7}),
    *(lambda: [Metric("val_loss")], lambda: [FLOPs(at_most=9)], lambda: [Metric], lambda: nds_crowding_order),
    *(lambda: UniformSampler, lambda: PriMO, lambda: Prior, lambda: ConfigurationSpace(SPACE), lambda: Kind.EXACT),
]
anything = st.one_of(
    st.sampled_from(PLAIN).map(lambda value: value),
    st.sampled_from(OURS).map(lambda make: make()),
    st.integers(),
    st.floats(),
    st.text(max_size=5),
)

WITH: dict[Callable[..., Any], dict[str, Any]] = {
    RandomSearch: {},
    MOASHA: {},
    SuccessiveHalving: {},
    Hyperband: {},
    MOBOHB: {},
    MOBANANAS: {},
    MSEHVI: {},
    CMAES: {},
    NSGA2: {},
    RegularizedEvolution: {},
    GridSearch: {},
    PriMO: {},
    BayesianOptimization: {},
    SHEMOA: {"full_trainings": 9},
    PBT: {},
    PB2: {},
    Perturb: {},
    ScheduledHyperparameters: {"schedule": {0: {"lr": 0.1}}, "module": Net},
    BulkAndCut: {"full_trainings": 9},
    AugmentedChebyshev: {},
    PriorSampler: {"priors": {"val_loss": Prior({"lr": 0.01})}},
    CentersFirst: {"priors": {"val_loss": Prior({"lr": 0.01})}},
    EvolutionarySampler: {},
    RungStack: {},
    LogExpectedImprovement: {},
    Prior: {"center": {"lr": 0.01}},
    Objective: {"name": "loss"},
    Metric: {"name": "val_loss"},
    NoImprovement: {},
    Target: {"val_loss": 0.1},
    TorchMetric: {"metric": BinaryAccuracy()},
    ParameterCount: {},
    FLOPs: {},
    Latency: {},
    Energy: {},
    PeakMemory: {},
    TrainingTime: {},
    NonFiniteGuard: {},
    ReproducibleEpochs: {"seed": 0},
    ReproducibleSteps: {"seed": 0},
    StopAtEpoch: {"epoch": 1},
    ValidationAtSteps: {"every": 1},
    Fidelity: {"unit": Steps(2), "least": 1, "full": 3},
    TimeLimit: {"seconds": 1.0},
    MicroBatches: {"parts": 2},
    Continuation: {"directory": "runs/old"},
    Budget: {"full_trainings": 3, "fidelity": Fidelity.of_epochs((1, 3))},
}
"""The constructors with what they need."""


def names_of(target: Callable[..., Any]) -> list[str]:
    """Of the arguments, but for functions that are called at once, whose own errors are theirs."""
    return [name for name in inspect.signature(target).parameters if name not in ("self", "clock")]


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("JSONARGPARSE_DEPRECATION_WARNINGS", "off")


@cases
@given(data=st.data())
def test_constructors(data: st.DataObject) -> None:
    target = data.draw(st.sampled_from(list(WITH)))
    changes = data.draw(st.dictionaries(st.sampled_from(names_of(target)), anything, min_size=1, max_size=2))
    with contextlib.suppress(PrimoError):
        made = target(**{**WITH[target], **changes})
        if isinstance(made, Algorithm) and not isinstance(made, BulkAndCut):
            search(algorithm=made).algorithm.propose(np.random.default_rng(0))
        if isinstance(made, StoppingRule):
            made.watch(search().problem)
        if isinstance(made, Metric):
            search(objectives=[made], constraints=[Metric("val_acc", at_least=0.5, at="best")])


@cases
@given(changes=st.dictionaries(st.sampled_from([*names_of(Search), "trials"]), anything, min_size=1, max_size=2))
def test_searches(changes: dict[str, Any]) -> None:
    changes.pop("trials", None)
    with contextlib.suppress(PrimoError):
        search(**changes)


@cases
@given(data=st.data())
def test_lengths(data: st.DataObject) -> None:
    pairs = st.tuples(st.integers(-1, 2000), st.integers(-1, 20000)) | st.tuples(anything, anything) | anything
    names = ["val_check_interval", "check_val_every_n_epoch", "accumulate_grad_batches"]
    trainer = data.draw(st.dictionaries(st.sampled_from(names), anything, max_size=2))
    with contextlib.suppress(PrimoError):
        made = search(epochs=None, steps=data.draw(pairs), trainer=trainer)
        assert Fidelity.described(str(made.problem.fidelity)) == made.problem.fidelity
        Budget(steps=data.draw(anything), fidelity=made.problem.fidelity)


@cases
@given(data=st.data())
def test_fractions_of_data(data: st.DataObject) -> None:
    part = st.floats(-0.1, 1.1) | st.sampled_from(["1/27", "27/1", "1/0", "1e-9", " 1/3 ", "٣/٤"]) | st.fractions(0, 1)
    pairs = st.tuples(part, part) | st.tuples(part, st.just(1)) | st.tuples(anything, anything) | anything
    names = ["max_epochs", "check_val_every_n_epoch", "val_check_interval", "limit_train_batches", "overfit_batches"]
    trainer = {"max_epochs": 4} | data.draw(st.dictionaries(st.sampled_from(names), anything, max_size=2))
    given = trainer if data.draw(st.booleans()) else lambda config: trainer
    with contextlib.suppress(PrimoError):
        fidelity = search(epochs=None, data=data.draw(pairs), trainer=given).problem.fidelity
        assert Fidelity.described(str(fidelity)) == fidelity
        assert [fidelity.unit.level(fidelity.amount(level)) for level in (fidelity.least, fidelity.full)] == [
            fidelity.least,
            fidelity.full,
        ]
        Budget(full_trainings=data.draw(anything), fidelity=fidelity)


class Halves(pl.LightningDataModule):
    """Knows folds; never set up here."""

    def fold(self, i: int, k: int) -> None:
        pass


@settings(cases, max_examples=max(1, N_CASES // 3))
@given(data=st.data())
def test_replicates(data: st.DataObject) -> None:
    odd = data.draw(st.fixed_dictionaries({}, optional={"repeats": anything, "folds": anything}))
    with contextlib.suppress(PrimoError):
        search(datamodule=data.draw(anything | st.just(Halves) | st.just(Halves())), **odd)
    n = data.draw(st.integers(0, 9))
    names = ["labels", "batch_size", "seed", "num_workers", "loader", "test"]
    with contextlib.suppress(PrimoError):
        made = KFoldData(range(n), **data.draw(st.dictionaries(st.sampled_from(names), anything, max_size=2)))
        made.fold(data.draw(anything), data.draw(anything))


configurations = st.one_of(anything, st.dictionaries(st.sampled_from(["lr", "val_loss", "x"]), anything, max_size=2))


@cases
@given(data=st.data())
def test_beginnings(data: st.DataObject) -> None:
    pairs = st.tuples(configurations, configurations) | st.tuples(configurations, configurations, anything)
    with contextlib.suppress(PrimoError):
        search(first=data.draw(st.lists(configurations, max_size=2)))
    with contextlib.suppress(PrimoError):
        search(known=data.draw(st.lists(pairs | anything, max_size=2)))
    with contextlib.suppress(PrimoError):
        search(continues=data.draw(anything | anything.map(lambda odd: {"directory": odd})))


@settings(cases, max_examples=max(1, N_CASES // 5))
@given(data=st.data())
def test_studies(data: st.DataObject) -> None:
    problem = Problem(space=ConfigurationSpace(SPACE), objectives=(Objective(name="val_loss"),), max_epochs=9)
    with tempfile.TemporaryDirectory(dir=".") as folder, Study(folder, problem, MOASHA()) as study:
        proposal = study.ask()
        assert proposal is not None
        with contextlib.suppress(PrimoError):
            study.add(data.draw(configurations))
        names = ["curve", "epoch", "finished", "deviations", "measurements", "seconds"]
        options = data.draw(st.dictionaries(st.sampled_from(names), configurations, max_size=2))
        trial_id = data.draw(st.just(0) | anything)
        with contextlib.suppress(PrimoError):
            study.tell(trial_id, data.draw(st.just({"val_loss": 0.5}) | configurations), **options)
        with contextlib.suppress(PrimoError):
            study.fail(trial_id, data.draw(anything), status=data.draw(anything), epoch=data.draw(anything))
        study.result.summary()
        study.ask()
    with contextlib.suppress(PrimoError):
        Study(data.draw(anything), data.draw(st.just(problem) | anything), data.draw(anything)).close()


@cases
@given(stop=st.one_of(anything, st.lists(anything, max_size=2)))
def test_rules(stop: Any) -> None:
    with contextlib.suppress(PrimoError):
        check_rules(stop)
    with contextlib.suppress(PrimoError):
        Target(stop).watch(search().problem)


@cases
@given(directory=anything)
def test_directories(directory: Any) -> None:
    with contextlib.suppress(PrimoError):
        read_result(directory)


def search(**changes: Any) -> Search:
    arguments = {"space": ConfigurationSpace(SPACE), "module": Net, "objectives": [Metric("val_loss")]}
    others = {"epochs": (1, 9), "directory": "run", "algorithm": RandomSearch()}
    return Search(**{**arguments, **others, **changes})


FILE: dict[str, Any] = yaml.safe_load(
    """
space:
  model.lr: {float: [0.0001, 0.1], log: true}
  model.layers: {integer: [1, 3]}
  model.pool: {choice: [max, mean]}
  model.size: {choice: [1, 2, 4], ordered: true, if: {model.pool: max}}
  optimizer: [null, [1, 2], {class_path: torch.optim.Adam}]
objectives:
- {class_path: Metric, init_args: {name: val_loss, at: best, at_most: 2.5}}
- ParameterCount
constraints:
- {class_path: FLOPs, init_args: {at_most: 10000}}
- {class_path: Metric, init_args: {name: val_acc, mode: max, at_least: 0.9}}
algorithm:
  class_path: PriMO
  init_args:
    priors: {val_loss: {center: {model.lr: 0.001, model.pool: max}, confidence: 0.5}}
    initial_design: {class_path: MOASHA, init_args: {eta: 3}}
epochs: [1, 9]
budget: {full_trainings: 20, device_hours: 8}
stop:
- {class_path: NoImprovement, init_args: {of: 0.01, in_full_trainings: 5}}
- {class_path: Target, init_args: {val_loss: 0.1}}
workers: 1
seed: 3
first: [{model.lr: 0.01}]
known:
- {config: {model.lr: 0.001, model.pool: max}, values: {val_loss: 0.5}, epoch: 9}
config_first: true
keep_all_checkpoints: false
trial_timeout: 60
remeasure: 5
repeats: 3
folds: 5
"""
)
IN_FILES: list[Any] = [
    *(None, True, False, 0, 1, -1, 3, 2**70, 10**400, 0.5, 1e308, 1e-320, math.nan, math.inf, -math.inf),
    *(
        "",
        "x",
        "1",
        "1e-3",
        "max",
        "model.lr",
        "model.pool",
        "PriMO",
        "os.system",
        "a..b",
        ".",
        "a.b.C",
        "\x1b[31m",
        "\0",
    ),
    *("${x}", "$\\frac{$", "2020-01-01", "yes", "~", "{", "- x", "init_args", "torch.optim.Adam"),
    *([], [1], [1, 2], [2, 1], ["a", 1], [[]], [None], {}, {"x": 1}, {"float": [0, 1]}, {"float": [0, math.inf]}),
    *(
        {"integer": [1, 2**70]},
        {"choice": []},
        {"choice": [math.nan]},
        {"if": {"model.lr": 1}},
        {"class_path": "Metric"},
    ),
    *({"class_path": "GridSearch", "init_args": {"points": {"model.lr": [0.01], "model.optimizer": [[1, 2], "x"]}}},),
    *({"class_path": "PriMO", "init_args": "x"}, {"class_path": "RandomSearch", "init_args": {"sampler": 3}}, {"": 1}),
]
in_files = st.one_of(
    st.sampled_from(IN_FILES),
    st.integers(),
    st.floats(),
    st.text(max_size=4),
    st.recursive(
        st.none() | st.integers() | st.text(max_size=3), lambda inner: st.lists(inner, max_size=3), max_leaves=9
    ),
)
TEXTS = [
    "{",
    "[",
    "]",
    ": ",
    "\n- ",
    "&a ",
    "*a",
    "<<: *a\n",
    "!!python/name:os.system",
    "!!set",
    "? ",
    "\t",
    "\x85",
    "'",
]


@cases
@given(data=st.data())
def test_search_files(data: st.DataObject) -> None:
    content = copy.deepcopy(FILE)
    if data.draw(st.booleans()):
        del content["epochs"]
        by_steps = {"steps": [500, 13_500], "budget": {"steps": 27_000}, "known": []}
        by_data = {"data": ["1/27", 1], "budget": {"full_trainings": 3}, "known": []}
        content |= by_steps if data.draw(st.booleans()) else by_data
    for _ in range(data.draw(st.integers(1, 3))):
        _mutate(content, data)
    text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True) if _dumps(content) else "x"
    if data.draw(st.integers(0, 3)) == 0:
        place = data.draw(st.integers(0, len(text)))
        text = text[:place] + data.draw(st.sampled_from([*TEXTS, "[" * 900, "1" * 5000])) + text[place:]
    read(text)


def read(text: str) -> None:
    """Read a search file as the command does, up to where the project's own code would be asked."""
    with tempfile.NamedTemporaryFile("w", suffix=".yaml", dir=".", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        made = parser()
        made.exit_on_error = False
        with contextlib.suppress(PrimoError, argparse.ArgumentError), warnings.catch_warnings():
            warnings.simplefilter("error")
            options = made.parse_args(["--search", file.name])
            space = read_space(options.space)
            project = Project(
                configs=(), cli=None, folder=".", base={"model": {"lr": 0.01}, "trainer": {"max_epochs": 4}}
            )
            space = with_own_defaults(space, project)
            lengths = {"epochs": None, **read_lengths(options, project)}
            limits = {name: limit for name, limit in options.budget.as_dict().items() if limit is not None}
            asked = {
                "objectives": read_objectives(options.objectives or []),
                "constraints": read_constraints(options.constraints or []),
                "algorithm": read_algorithm(options.algorithm, space),
                "first": read_first(options.first or [], space),
                "known": read_known(options.known or [], space, project, length=name_of_length(options)),
                "continues": read_continues(options.continues, space, project),
            }
            own_config_first(project, space, show=options.config_first)
            named = {name: options[name] for name in PASSED_ON}
            seed = 0 if options.seed is None else options.seed
            code = {"module": lambda config: Net(), "datamodule": lambda config: None}
            code |= {"trainer": {"max_epochs": own_epochs(project)}} if "data" in lengths else {}
            made_search = search(space=space.space, **code, seed=seed, **lengths, **asked, **named)
            check_rules(read_stop(options.stop, made_search))
            Budget(**(limits or {"trials": 1}), fidelity=made_search.problem.fidelity)


def _mutate(content: Any, data: st.DataObject) -> None:
    """Put another value, another key or nothing in the place of one value somewhere in `content`."""
    places = list(_places(content))
    holder, key = data.draw(st.sampled_from(places)) if places else (content, "space")
    what = data.draw(st.sampled_from(["value", "value", "value", "key", "nothing"]))
    if what == "value" or isinstance(holder, list):
        holder[key] = copy.deepcopy(data.draw(in_files))
    else:
        value = holder.pop(key)
        if what == "key":
            holder[data.draw(st.sampled_from(["x", "", "space", "init_args", 1, None, True]))] = value


def _places(content: Any) -> Any:
    items = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    for key, value in list(items):
        yield content, key
        yield from _places(value)


def _dumps(content: Any) -> bool:
    """Whether YAML can hold it at all."""
    try:
        yaml.safe_dump(content, allow_unicode=True).encode()
    except (ValueError, UnicodeError):
        return False
    return True


@pytest.mark.parametrize(
    "text",
    [
        "budget: 20",
        "budget: [20]",
        "algorithm: {class_path: PriMO, init_args: x}",
        "space: {a: {float: [0, .inf]}}",
        f"space: {{a: {{integer: [1, {2**70}]}}}}",
        f"space: {'{a: ' * 900}1{'}' * 900}",
        f"seed: {'1' * 5000}",
        "seed: 1\nseed: 2",
        "space: &a {x: *a}",
        "space: {1: [1, 2]}",
    ],
    ids=lambda text: text[:30],
)
def test_entries_that_cannot_work(text: str) -> None:
    Path("search.yaml").write_text(text, encoding="utf-8")
    with pytest.raises((PrimoError, argparse.ArgumentError), match=r"budget|class_path|'a'|each other|twice|line"):
        read_all(Path("search.yaml"))


def read_all(file: Path) -> None:
    made = parser()
    made.exit_on_error = False
    options = made.parse_args(["--search", str(file)])
    read_algorithm(options.algorithm, read_space(options.space or {"x": [1, 2]}))
