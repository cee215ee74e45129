"""``lightning-primo remeasure``: the front of a search of the command line, measured in turn."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ConfigSpace import ConfigurationSpace, Integer

from lightning_primo import Latency, Metric, RandomSearch
from lightning_primo.cli.commands import remeasure
from lightning_primo.cli.main import main
from lightning_primo.cli.project.project import Project
from lightning_primo.errors import InvalidArgumentError, PrimoError
from lightning_primo.problem import Problem
from lightning_primo.problem.objective import Kind, Objective
from lightning_primo.problem.trial import Proposal
from lightning_primo.search.description import describe
from lightning_primo.store import Store
from lightning_primo.timing import RoundRobin
from tests.cli.test_export import CONFIG
from tests.results.search_log import Log

pytestmark = pytest.mark.usefixtures("_quiet", "process")

ERROR = Objective(name="val_error", kind=Kind.TRAINED)
LATENCY = Objective(name="latency_cpu", kind=Kind.MEASURED, log=True)


def searched(directory: Path, *, latency: Latency | None = None, project: bool = True, trials: int = 3) -> Path:
    """A search over the project of `CONFIG`, with trials of growing width on its front."""
    space = ConfigurationSpace()
    space.add(Integer("model.init_args.width", (2, 8)))
    log = Log(Problem(space=space, objectives=(ERROR, LATENCY), max_epochs=2))
    for trial_id in range(trials):
        width = 2 + trial_id
        log.train(trial_id, (1.0 / width, 1e-5 * width), 2, config={"model.init_args.width": width})
    objectives = [Metric("val_error"), latency or Latency("cpu", threads=1)]
    description = describe(log.problem, objectives=objectives, constraints=[], algorithm=RandomSearch(), seed=3)
    with Store(directory, description) as store:
        for event, elapsed in log.events:
            if isinstance(event, Proposal):
                store.ask(event, elapsed=elapsed)
            else:
                store.tell(event, elapsed=elapsed)
    if project:
        path = directory.parent / "config.yaml"
        path.write_text(json.dumps(CONFIG))
        Project.open([path]).for_search(encoded=[], max_epochs=2).write(directory)
    return directory


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What is measured in turn: two networks are alike, the third takes twice as long."""
    calls: list[dict[str, Any]] = []

    def measured(runtime: Any, cases: Any, **options: Any) -> RoundRobin:
        calls.append({"widths": [module.net[0].out_features for module, _ in cases], **options})
        noise = np.exp(0.02 * np.random.default_rng(0).normal(size=(40, len(cases))))
        return RoundRobin(noise * np.array([1e-5, 1.0001e-5, 2e-5][: len(cases)]))

    monkeypatch.setattr("lightning_primo.objectives.benches.bench.latencies_in_turn", measured)
    return calls


def remeasured(*arguments: object) -> int:
    return remeasure.run(remeasure.parser().parse_args([str(argument) for argument in arguments]))


def test_a_table_says_what_is_told_apart(
    tmp_path: Path, seen: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    directory = searched(tmp_path / "search")
    assert remeasured(directory, "--trust", "--seconds", "0.5") == 0
    output = capsys.readouterr()
    (options,) = seen
    assert options["widths"] == [4, 3, 2]  # best first, as the front is
    assert (options["seconds"], options["threads"], options["device"]) == (0.5, 1, "cpu")
    assert "measuring latency_cpu of 3 trials in turn, each for 0.5 s of calls" in output.err
    assert "running what the search's directory names: the classes 'tests.tiny." in output.err
    lines = output.out.splitlines()
    assert lines[0].split()[:2] == ["trial", "latency_cpu"]
    assert len(lines) == 2 + 3
    slowest = lines[-1].split()
    assert slowest[0] == "0"
    assert float(slowest[slowest.index("to") - 2]) == pytest.approx(2.0, abs=0.05)
    assert "pairs that are not told apart: 1; more --seconds" in output.err


def test_json_has_the_numbers(tmp_path: Path, seen: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["remeasure", str(searched(tmp_path / "search")), "--trust", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["ratio_low"] <= row["ratio"] <= row["ratio_high"] for row in rows] == [True] * 3
    assert rows[2]["latency_cpu"] == pytest.approx(2e-5, rel=0.02)
    assert rows[2]["latency_cpu_searched"] == pytest.approx(2e-5)
    assert (sorted(rows[0]["undecided"] + rows[1]["undecided"]), rows[2]["undecided"]) == ([1, 2], [])


def test_what_is_refused(tmp_path: Path, seen: list[dict[str, Any]]) -> None:
    directory = searched(tmp_path / "search")
    with pytest.raises(InvalidArgumentError, match=r"'remeasure' builds the networks, which runs .*add --trust"):
        remeasured(directory)
    with pytest.raises(InvalidArgumentError, match="latency_gpu"):
        remeasured(directory, "--trust", "--latency", "latency_gpu")
    with pytest.raises(InvalidArgumentError, match=r"made in Python.*Search\(...\).result\(\).remeasure\(\)"):
        remeasured(searched(tmp_path / "python", project=False), "--trust")
    served = Latency("cpu", on="http://127.0.0.1:9")
    with pytest.raises(InvalidArgumentError, match="its address is not kept; measure from Python"):
        remeasured(searched(tmp_path / "served", latency=served), "--trust")
    with pytest.raises(PrimoError, match="there is nothing to measure"):
        remeasured(searched(tmp_path / "empty", trials=0), "--trust")
    assert not seen
