"""A served device in a search file, and nowhere its token."""

from __future__ import annotations

from typing import Any

import pytest

from lightning_primo import Latency, Metric, PeakMemory, RandomSearch, ServedDevice
from lightning_primo.cli.search_file.search_file import read_objectives
from lightning_primo.errors import InvalidArgumentError
from lightning_primo.objectives.benches.served_bench import ServedLatencyBench, ServedMemoryBench
from lightning_primo.problem import Problem
from lightning_primo.runtimes import AOTInductor, Compiled, FirstOf, OnnxRuntime, Quantised
from lightning_primo.search.description import describe
from tests.study.problems import make_space

ADDRESS, TOKEN = "http://pi:8765", "the-token-of-the-file"


@pytest.fixture(autouse=True)
def _quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JSONARGPARSE_DEPRECATION_WARNINGS", "off")


def bench(**arguments: Any) -> ServedLatencyBench:
    (objective,) = read_objectives([{"class_path": "Latency", "init_args": {"device": "cpu", **arguments}}])
    assert isinstance(objective, Latency)
    assert isinstance(objective.bench, ServedLatencyBench)
    return objective.bench


def test_an_address_a_device_and_a_runtime() -> None:
    assert bench(on=ADDRESS).served == ServedDevice(ADDRESS)
    assert bench(on=ADDRESS).runtime == OnnxRuntime()
    assert bench(on={"address": ADDRESS, "patience": 60}).served == ServedDevice(ADDRESS, patience=60.0)
    int8 = {"class_path": "Quantised", "init_args": {"runtime": "OnnxRuntime"}}
    assert bench(on="ssh://user@pi", runtime=int8).runtime == Quantised(OnnxRuntime())


@pytest.mark.parametrize(
    "device",
    [
        {"address": ADDRESS, "token": TOKEN},
        {"class_path": "ServedDevice", "init_args": {"address": ADDRESS, "token": TOKEN}},
    ],
)
def test_a_token_does_not_belong_into_a_search_file(device: Any) -> None:
    with pytest.raises(InvalidArgumentError, match=r"LIGHTNING_PRIMO_TOKEN or in ~/\.netrc") as caught:
        bench(on=device)
    assert TOKEN not in str(caught.value)


def test_the_memory_of_a_process_there() -> None:
    entry = {"class_path": "PeakMemory", "init_args": {"on": ADDRESS, "threads": 4, "at_most": 5e7}}
    (objective,) = read_objectives([entry])
    assert isinstance(objective, PeakMemory)
    assert objective.bench == ServedMemoryBench(ServedDevice(ADDRESS), "auto", OnnxRuntime(), 4)
    assert objective.elsewhere
    assert not PeakMemory(runtime=OnnxRuntime()).elsewhere
    with pytest.raises(InvalidArgumentError, match="holds no code"):
        PeakMemory(on=ADDRESS, runtime=AOTInductor())
    with pytest.raises(InvalidArgumentError, match="'device' must be 'cpu'"):
        PeakMemory("cuda", on=ADDRESS)
    with pytest.raises(InvalidArgumentError, match="with the token of its device"):
        read_objectives([{"class_path": "PeakMemory", "init_args": {"on": {"address": ADDRESS, "token": TOKEN}}}])


@pytest.mark.parametrize("runtime", [Compiled(), FirstOf([OnnxRuntime(), Compiled()])])
def test_what_is_sent_holds_no_code(runtime: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="holds no code"):
        Latency("cpu", on=ADDRESS, runtime=runtime)


def test_the_token_is_in_no_description_of_the_search() -> None:
    latency = Latency("cpu", on=ServedDevice(ADDRESS, TOKEN))
    metric = Metric("val_loss")
    problem = Problem(space=make_space(), objectives=(metric.objective, latency.objective), max_epochs=3)
    described = describe(problem, objectives=[metric, latency], constraints=[], algorithm=RandomSearch(), seed=0)
    assert TOKEN not in str(described)
    assert TOKEN not in repr(latency)
    assert TOKEN not in repr(latency.bench)
