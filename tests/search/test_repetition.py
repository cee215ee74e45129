"""Training the front again with new seeds."""

from __future__ import annotations

import json
import math
from concurrent.futures import Executor, Future
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ConfigSpace import ConfigurationSpace

from lightning_primo import Metric, RandomSearch, Result, Search, read_result
from lightning_primo.errors import InvalidArgumentError, PrimoError
from lightning_primo.layout import attempt_file, repeated_file
from lightning_primo.problem import Problem
from lightning_primo.problem.objective import Kind, Objective
from lightning_primo.problem.trial import Evaluation, Status
from lightning_primo.results.once_more.repetitions import RepeatedTrial, Repetition, read_repeated
from lightning_primo.results.trial_result import TrialResult
from lightning_primo.search import repetition
from lightning_primo.training import Job, crashed, hung
from lightning_primo.training.checkpoint import claim
from tests.training.replicated import make_search


@pytest.fixture
def search(tmp_path: Path) -> Search:
    made = make_search(tmp_path, objectives=[Metric("noisy"), Metric("size")], algorithm=RandomSearch())
    made.run(trials=3, progress=False, report=False)
    return made


def trainings(monkeypatch: pytest.MonkeyPatch, *, end_after: int | None = None) -> list[tuple[int, int]]:
    """The trials and replicates that are trained from here on; Ctrl-C after so many."""
    done: list[tuple[int, int]] = []
    run_job = repetition.run_job

    def counted(job: object) -> object:
        if end_after is not None and len(done) == end_after:
            raise KeyboardInterrupt
        done.append((job.trial_id, job.replicate))  # type: ignore[attr-defined]
        return run_job(job)  # type: ignore[arg-type]

    monkeypatch.setattr(repetition, "run_job", counted)
    return done


def test_means_are_of_new_seeds_alone(search: Search, monkeypatch: pytest.MonkeyPatch) -> None:
    result = search.result()
    done = trainings(monkeypatch)
    again = result.repeat(seeds=3, progress=False)
    assert sorted(done) == [
        (trial.id, number) for trial in sorted(result.front, key=lambda t: t.id) for number in (1, 2, 3)
    ]
    kept = read_repeated(search.directory)
    table = again.to_pandas().set_index("id")
    for trial in result.front:
        values = [kept[trial.id][number]["noisy"] for number in (1, 2, 3)]
        assert trial.values["noisy"] not in values
        assert table.noisy[trial.id] == pytest.approx(np.mean(values))
        assert table.noisy_deviation[trial.id] == pytest.approx(np.std(values, ddof=1))
        assert table.noisy_searched[trial.id] == trial.values["noisy"]
        assert abs(table.noisy[trial.id] - trial.config["level"]) < 0.03
    assert (table.seeds == 3).all()
    assert set(table.index[table.on_front]) == {one.trial.id for one in again.front}
    assert f"trial {result.front[0].id}: noisy" in repr(again)
    assert not list(search.directory.glob("repeated/trials/*/replicates/*/*.ckpt"))
    assert search.result().load(result.front[0]) is not None  # the search's own weights stay


def test_it_goes_on_where_it_was_interrupted(search: Search, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    result = search.result()
    with monkeypatch.context() as patch:
        first = trainings(patch, end_after=2)
        with pytest.raises(KeyboardInterrupt):
            result.repeat(seeds=2, progress=False)
    second = trainings(monkeypatch)
    parts = result.repeat(seeds=2, progress=False)
    assert not set(first) & set(second)
    assert len(first) + len(second) == 2 * len(result.front)
    before = json.loads(repeated_file(search.directory).read_text())
    repeated_file(search.directory).unlink()
    whole = result.repeat(seeds=2, progress=False)
    assert json.loads(repeated_file(search.directory).read_text()) == before
    assert whole.to_pandas().equals(parts.to_pandas())
    second.clear()
    result.repeat(seeds=3, progress=False)
    assert {number for _, number in second} == {3}


class Deaf(Executor):
    """Begins what it is given and never ends it; the second submission is a Ctrl-C."""

    def __init__(self) -> None:
        self.futures: list[Future[Any]] = []

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        if self.futures:
            raise KeyboardInterrupt
        self.futures.append(Future())
        return self.futures[0]


def test_what_runs_below_an_executor_may_not_write_after_an_interruption(
    search: Search, monkeypatch: pytest.MonkeyPatch
) -> None:
    issued: list[Path] = []

    def watched(directory: Path) -> str:
        issued.append(directory)
        return claim.issue(directory)

    monkeypatch.setattr(repetition, "issue", watched)
    executor = search.executor = Deaf()
    search.workers = 2
    with pytest.raises(KeyboardInterrupt):
        search.result().repeat(seeds=2, progress=False)
    assert executor.futures[0].cancelled()
    assert len(set(issued)) == 2
    assert all(directory.is_dir() for directory in issued)
    assert not attempt_file(issued[0]).exists()


def test_what_was_lost_is_tried_again(search: Search, monkeypatch: pytest.MonkeyPatch) -> None:
    result = search.result()
    lost = {(result.front[0].id, 1): crashed, (result.front[0].id, 2): hung}
    run_job = repetition.run_job
    with monkeypatch.context() as patch:

        def losing(job: Job) -> Evaluation:
            how = lost.get((job.trial_id, job.replicate))
            return run_job(job) if how is None else how(job, "the worker died")

        patch.setattr(repetition, "run_job", losing)
        again = result.repeat(seeds=2, progress=False)
    assert [one.failed for one in again.trials] == [2, *[0] * (len(result.front) - 1)]
    done = trainings(monkeypatch)
    again = result.repeat(seeds=2, progress=False)
    assert sorted(done) == sorted(lost)
    assert not any(one.failed for one in again.trials)


def test_with_folds_a_seed_is_trained_on_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    search = make_search(tmp_path, folds=2, objectives=[Metric("fold")])
    result = search.run(trials=1, progress=False, report=False)
    done = trainings(monkeypatch)
    again = result.repeat(seeds=2, progress=False)
    assert sorted(done) == [(0, number) for number in (2, 3, 4, 5)]
    assert again.trials[0].values["fold"] == pytest.approx(4.5)
    assert again.trials[0].deviations["fold"] == pytest.approx(0.0)


def test_what_cannot_be_repeated(search: Search, tmp_path: Path) -> None:
    result = search.result()
    for seeds in (1, 0, 2.5, True):
        with pytest.raises(InvalidArgumentError, match="'seeds'"):
            result.repeat(seeds=seeds)  # type: ignore[arg-type]
    with pytest.raises(PrimoError, match="without the search"):
        read_result(search.directory).repeat(seeds=2)
    empty = Result(search.problem, [], directory=tmp_path, build=None, repeater=result._repeater)
    with pytest.raises(PrimoError, match="nothing to train again"):
        empty.repeat(seeds=2)
    repeated_file(search.directory).write_text("{")
    with pytest.raises(PrimoError, match="is damaged"):
        result.repeat(seeds=2, progress=False)


ERROR = Objective(name="error", mode="min", kind=Kind.TRAINED, at_most=0.5)
SIZE = Objective(name="size", mode="min", kind=Kind.EXACT)
PROBLEM = Problem(space=ConfigurationSpace({"x": (0.0, 1.0)}), objectives=(ERROR, SIZE), max_epochs=3)


def repeated(trial_id: int, size: float, *errors: float) -> RepeatedTrial:
    trial = TrialResult(id=trial_id, config={"x": 0.5}, status=Status.OK, values={"error": 0.1, "size": size})
    return RepeatedTrial.of(PROBLEM, trial, [[{"error": error}] for error in errors])


def test_the_front_is_corrected() -> None:
    best = repeated(0, 10.0, 0.10, 0.12)
    lucky = repeated(1, 20.0, 0.30, 0.32)
    unstable = repeated(2, 5.0, 0.2, math.nan)
    infeasible = repeated(3, 1.0, 0.6, 0.7)
    small = repeated(4, 2.0, 0.40, 0.42)
    again = Repetition(PROBLEM, [best, lucky, unstable, infeasible, small])
    assert [one.trial.id for one in again.front] == [0, 4]
    assert (unstable.failed, unstable.values["error"]) == (1, 0.2)
    assert infeasible.broken
    assert best.deviations == {"error": pytest.approx(math.sqrt(2) * 0.01)}
    assert Repetition(PROBLEM, []).front == ()
    # What differs by less than its noise is no reason for a larger network.
    close = [repeated(0, 10.0, 0.1, 0.2), repeated(1, 20.0, 0.09, 0.19)]
    assert [one.trial.id for one in Repetition(PROBLEM, close).front] == [0]
