"""Searches with a latency: on one device alone, and measured again in the end."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Future
from pathlib import Path
from typing import Any

import pytest
import torch

from lightning_primo import Latency, Metric, PriMO, RandomSearch, Result, Search, SuccessiveHalving
from lightning_primo.errors import DeviceMismatchError, InvalidArgumentError
from lightning_primo.layout import trial_directory
from lightning_primo.problem.trial import Evaluation, Proposal, Status
from lightning_primo.results.once_more.remeasurements import read_remeasured, write_remeasured
from lightning_primo.store import read_events
from lightning_primo.workers.call import carry_out
from tests.machine import Machine
from tests.search.resume_script import Net, build, make_search
from tests.workers.executors import Odd, working


class Noisy(Machine):
    """The latency of a network grows with its width; `noise` is added to one measurement after the other."""

    def __init__(self) -> None:
        super().__init__()
        self.noise = [0.0]
        self.before: Callable[[], None] = lambda: None
        self.n_measured = 0

    def latency(self, module: Any) -> float:
        self.before()
        self.n_measured += 1
        noise = self.noise[(self.n_measured - 1) % len(self.noise)]
        return (1.0 + noise) * 1e-5 * float(module.net[0].out_features)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Noisy:
    return Noisy.installed(monkeypatch)  # type: ignore[return-value]


def called(config: dict[str, Any]) -> Net:
    module = build(config)
    module.example_input_array = torch.zeros(2, 3)
    return module


def search(directory: Path, **changes: Any) -> Search:
    arguments = {
        "module": called,
        "objectives": [Metric("val_loss"), Latency("cpu")],
        "algorithm": RandomSearch(),
        "epochs": (1, 1),
    }
    return make_search(directory, **{**arguments, **changes})


def run(directory: Path, trials: int = 3, **changes: Any) -> Result:
    return search(directory, **changes).run(trials=trials, progress=False)


def log(directory: Path) -> list[Proposal | Evaluation]:
    return [event for event, _ in read_events(directory)]


def told(directory: Path) -> list[Evaluation]:
    return [event for event in log(directory) if isinstance(event, Evaluation)]


# One device.


def test_a_search_is_not_gone_on_with_on_another_machine(tmp_path: Path, machine: Noisy) -> None:
    run(tmp_path, 2)
    before, measured = told(tmp_path), machine.n_measured
    machine.name = "Chip 10"
    with pytest.raises(DeviceMismatchError, match=r"'latency_cpu'.*\[Chip 9, .*\[Chip 10, .*new 'directory'"):
        run(tmp_path, 4)
    assert told(tmp_path) == before
    assert machine.n_measured == measured
    assert search(tmp_path).result().to_pandas()["status"].tolist() == ["ok", "ok", "pending"]
    machine.name = "Chip 9"
    assert len(run(tmp_path, 4).trials) == 4
    assert [event.status for event in told(tmp_path)] == [Status.OK] * 4


def test_what_is_known_of_another_machine_is_left_out(
    tmp_path: Path, machine: Noisy, capsys: pytest.CaptureFixture[str]
) -> None:
    options: dict[str, Any] = {"objectives": [Metric("val_loss")], "constraints": [Latency("cpu", at_most=1.0)]}
    run(tmp_path / "old", 1, remeasure=0)
    machine.name = "Chip 10"
    for name, changes in (("new", {}), ("constrained", options)):
        result = run(tmp_path / name, 1, continues=tmp_path / "old", remeasure=0, **changes)
        said = capsys.readouterr().err
        assert "0 of 1 result is known here" in said
        assert "1 whose 'latency_cpu' was measured on [Chip 9, " in said
        assert [trial.known for trial in result.trials] == [False]
    machine.name = "Chip 9"  # more is given to a search that was begun elsewhere
    given = search(tmp_path / "new", known=[tmp_path / "old"])
    with pytest.raises(DeviceMismatchError):
        given.run(trials=2, progress=False)
    assert len(told(tmp_path / "new")) == 1


def test_not_even_a_trial_that_was_measured_before_is_trained_on_there(tmp_path: Path, machine: Noisy) -> None:
    options: dict[str, Any] = {"algorithm": SuccessiveHalving(eta=3), "epochs": (1, 3), "remeasure": 0}
    run(tmp_path, 3, **options)
    assert {event.epoch for event in told(tmp_path)} == {1}
    machine.name = "Chip 10"
    with pytest.raises(DeviceMismatchError, match="Chip 10"):
        search(tmp_path, **options).run(epochs=5, progress=False)
    assert len(told(tmp_path)) == 3
    machine.name = "Chip 9"
    search(tmp_path, **options).run(epochs=5, progress=False)
    assert told(tmp_path)[3].epoch == 3


def test_a_search_that_is_over_can_be_looked_at_anywhere(
    tmp_path: Path, machine: Noisy, capsys: pytest.CaptureFixture[str]
) -> None:
    there = run(tmp_path, 2, remeasure=0)
    machine.name = "Chip 10"
    here = run(tmp_path, 2)
    assert [trial.values for trial in here.trials] == [trial.values for trial in there.trials]
    assert "the front is not measured again: the values of 'latency_cpu'" in capsys.readouterr().err


@pytest.fixture
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Calls are run where they arrive, where `machine` stands for the device."""
    monkeypatch.setattr("lightning_primo.workers.supervisor.Supervisor.run", lambda self, call: carry_out(call.payload))


@pytest.mark.usefixtures("in_this_process")
def test_a_worker_on_another_machine_ends_the_search(tmp_path: Path, machine: Noisy) -> None:
    """Executors of the user's may have workers anywhere; here the second trial is measured elsewhere."""
    places = iter(["Chip 9", "Chip 9", "Chip 10"])  # of the preflight and two trials

    def next_machine() -> None:
        machine.name = next(places, "Chip 9")

    machine.before = next_machine
    with pytest.raises(DeviceMismatchError, match=r"\[Chip 9, .*\[Chip 10, "):
        run(tmp_path, 3, executor=Odd(working))
    assert [event.trial_id for event in told(tmp_path)] == [0]
    machine.before, machine.name = lambda: None, "Chip 9"
    result = run(tmp_path, 3, remeasure=0)  # its training is there; its latency is measured again
    assert {trial.measured_on["latency_cpu"]["hardware"] for trial in result.trials} == {"Chip 9"}
    assert [event.cost for event in told(tmp_path)] == [1.0, 1.0, 1.0]


@pytest.mark.usefixtures("in_this_process")
def test_a_worker_that_knows_where_the_others_were_measured_does_not_even_train(tmp_path: Path, machine: Noisy) -> None:
    run(tmp_path, 1, remeasure=0)
    machine.name = "Chip 10"
    with pytest.raises(DeviceMismatchError, match="trial 1 could not be measured"):
        run(tmp_path, 3, executor=Odd(working))
    assert len(told(tmp_path)) == 1
    assert not (trial_directory(tmp_path, 1) / "last.ckpt").exists()


def test_other_devices_may_be_measured_side_by_side(tmp_path: Path, machine: Noisy) -> None:
    objectives = [Metric("val_loss"), Latency("cpu"), Latency("cpu", batch_size=8, name="throughput")]
    result = run(tmp_path, 2, objectives=objectives)
    assert result.trials[1].measured_on["throughput"]["batch_size"] == "8"


# Measured again in the end.

LUCK = [0.0, 0.2, -0.1, 0.1, 0.05, -0.05, 0.15]


def test_the_front_is_measured_again_and_has_the_medians(tmp_path: Path, machine: Noisy) -> None:
    machine.noise = LUCK
    plain = run(tmp_path / "plain", 6, remeasure=0)
    machine.n_measured = 0
    result = run(tmp_path / "again", 6)
    assert not (tmp_path / "plain" / "remeasured.json").exists()
    again = read_remeasured(tmp_path / "again")
    assert set(again) >= {trial.id for trial in result.front}
    assert {len(values["latency_cpu"]) for values in again.values()} == {5}
    for trial in result.trials:
        once = plain.trials[trial.id].values["latency_cpu"]
        values = sorted([once, *again.get(trial.id, {}).get("latency_cpu", [])])
        middle = (values[(len(values) - 1) // 2] + values[len(values) // 2]) / 2
        assert trial.values["latency_cpu"] == pytest.approx(middle)
    # The algorithm's own losses are as they were.
    assert [event.losses for event in told(tmp_path / "again")] == [event.losses for event in told(tmp_path / "plain")]
    assert search(tmp_path / "again").result().front == result.front


def test_members_are_measured_in_turn(tmp_path: Path, machine: Noisy) -> None:
    widths: list[int] = []
    original = machine.latency

    def latency(module: Any) -> float:
        widths.append(module.net[0].out_features)
        return original(module)

    machine.latency = latency  # type: ignore[method-assign]
    run(tmp_path, 6)
    again = widths[7:]  # after the preflight and the trials
    n = len(read_remeasured(tmp_path))
    assert n > 1
    assert again == again[:n] * 5


def test_nothing_is_measured_twice_and_what_joins_later_is(tmp_path: Path, machine: Noisy) -> None:
    machine.noise = LUCK
    run(tmp_path, 4)
    first, measured = read_remeasured(tmp_path), machine.n_measured
    run(tmp_path, 4)
    assert machine.n_measured == measured
    run(tmp_path, 6)
    second = read_remeasured(tmp_path)
    assert {trial_id: second[trial_id] for trial_id in first} == first
    run(tmp_path, 6, remeasure=7)
    assert max(len(values["latency_cpu"]) for values in read_remeasured(tmp_path).values()) == 7


def test_a_search_goes_on_after_it_as_if_it_had_not_been(tmp_path: Path, machine: Noisy) -> None:
    def primo() -> PriMO:
        return PriMO(n_init=2, initial_design=RandomSearch())

    run(tmp_path / "whole", 4, algorithm=primo(), remeasure=0)
    run(tmp_path / "parts", 3, algorithm=primo())
    run(tmp_path / "parts", 4, algorithm=primo())
    whole, parts = ([e for e in log(tmp_path / name) if isinstance(e, Proposal)] for name in ("whole", "parts"))
    assert whole == parts


def test_ctrl_c_keeps_what_was_measured_and_the_same_call_does_the_rest(
    tmp_path: Path, machine: Noisy, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt() -> None:
        if machine.n_measured == 6:
            os.kill(os.getpid(), signal.SIGINT)

    machine.before = interrupt
    result = run(tmp_path, 4)
    assert "stopped by Ctrl-C" in capsys.readouterr().err
    some = read_remeasured(tmp_path)
    assert 0 < sum(len(values["latency_cpu"]) for values in some.values()) <= 3
    assert len(result.trials) == 4
    machine.before = lambda: None
    run(tmp_path, 4)
    every = read_remeasured(tmp_path)
    assert {len(values["latency_cpu"]) for values in every.values()} == {5}
    assert all(every[i]["latency_cpu"][: len(v["latency_cpu"])] == v["latency_cpu"] for i, v in some.items())


def test_the_weights_of_all_that_may_be_on_the_front_are_kept(tmp_path: Path, machine: Noisy) -> None:
    """Each network is 1 % slower than the one before it, which may be chance, and the last one far too slow."""
    factors = iter([1.0, 1.0, 1.01, 1.02, 1.03, 2.0])  # of the preflight and five trials
    machine.latency = lambda module: 1e-3 * next(factors)  # type: ignore[method-assign]
    result = run(tmp_path, 5, remeasure=0)
    assert len(result.front) < 4
    kept = [trial.id for trial in result.trials if (trial_directory(tmp_path, trial.id) / "last.ckpt").exists()]
    assert kept == [0, 1, 2, 3]
    for trial_id in kept:
        result.load(trial_id)


def test_what_joins_the_front_by_its_median_has_its_weights(tmp_path: Path, machine: Noisy) -> None:
    """Trial 2 is told to be 30 % slower than the others, which is chance."""
    factors = iter([1.0, 1.0, 1.0, 1.3, 1.0, 1.0])  # of the preflight and five trials
    machine.latency = lambda module: 1e-3 * next(factors)  # type: ignore[method-assign]
    told_once = run(tmp_path, 5, remeasure=0)
    assert 2 not in {trial.id for trial in told_once.front}
    width = told_once.trials[2].config["width"]
    assert [trial.config["width"] for trial in told_once.trials].count(width) == 1
    machine.latency = lambda module: (  # type: ignore[method-assign]
        1.1e-3 if module.net[0].out_features == width else 1.4e-3
    )
    write_remeasured(tmp_path, {2: {"latency_cpu": [1.1e-3]}})
    result = run(tmp_path, 5)
    assert 2 in {trial.id for trial in result.front}
    for trial in result.front:
        result.load(trial)


@pytest.mark.usefixtures("in_this_process")
def test_no_failure_of_measuring_again_loses_the_result(
    tmp_path: Path, machine: Noisy, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Breaks(Odd):
        """Takes three jobs, the first batch and two trainings; `fails` says what happens to the fourth."""

        fails = "to be taken"

        def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
            if len(self.submitted) < 3:
                return super().submit(fn, *args, **kwargs)
            if self.fails == "to be taken":
                raise BrokenExecutor("killed")
            lost: Future[Any] = Future()
            lost.set_exception(BrokenExecutor("the worker died"))
            return lost

    result = run(tmp_path / "broken", 2, executor=Breaks(working))
    assert [trial.status for trial in result.trials] == [Status.OK] * 2
    assert "the front is not measured again: the executor takes no more jobs" in capsys.readouterr().err
    executor = Breaks(working)
    executor.fails = "in its worker"
    assert len(run(tmp_path / "lost", 2, executor=executor).front) > 0
    assert "could not be measured again: BrokenExecutor: the worker died" in capsys.readouterr().err

    def full(directory: Path, values: Any) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr("lightning_primo.search.front_measurement.write_remeasured", full)
    assert len(run(tmp_path / "full", 2).front) > 0
    assert "the front is not measured again: OSError: no space left" in capsys.readouterr().err


def test_what_can_not_be_pickled_is_measured_in_this_process(
    tmp_path: Path, machine: Noisy, capsys: pytest.CaptureFixture[str]
) -> None:
    lock = threading.Lock()

    def locked(config: dict[str, Any]) -> Net:
        with lock:
            return called(config)

    result = run(tmp_path, 2, module=locked, remeasure=2)
    assert read_remeasured(tmp_path).keys() >= {trial.id for trial in result.front}
    assert "measured again:" not in capsys.readouterr().err


def test_what_was_begun_is_measured_to_the_end(tmp_path: Path, machine: Noisy) -> None:
    """Otherwise a trial that was stopped half-way, by then off the front by chance, would stay so."""
    run(tmp_path, 3, remeasure=0)
    worst = max(search(tmp_path).result().trials, key=lambda trial: trial.values["val_loss"])
    write_remeasured(tmp_path, {worst.id: {"latency_cpu": [1.0] * 4}})
    run(tmp_path, 3)
    assert len(read_remeasured(tmp_path)[worst.id]["latency_cpu"]) == 5


def test_what_can_not_be_measured_any_more_is_said_and_left(
    tmp_path: Path, machine: Noisy, capsys: pytest.CaptureFixture[str]
) -> None:
    run(tmp_path, 3, remeasure=0)
    before = search(tmp_path).result()

    def fail() -> None:
        raise RuntimeError("the fan is broken")

    machine.before = fail
    result = run(tmp_path, 3)
    error = capsys.readouterr().err
    for trial in before.front:
        assert error.count(f"trial {trial.id} could not be measured again: RuntimeError: the fan is broken") == 1
    assert [trial.values for trial in result.front] == [trial.values for trial in before.front]


def test_progress_says_what_goes_on(tmp_path: Path, machine: Noisy, capsys: pytest.CaptureFixture[str]) -> None:
    search(tmp_path).run(trials=2)
    assert "measuring latency_cpu of 2 trials on or near the front again" in capsys.readouterr().err


def test_searches_without_a_latency_have_nothing_to_measure_again(tmp_path: Path) -> None:
    make_search(tmp_path, epochs=(1, 1), algorithm=RandomSearch()).run(trials=1, progress=False)
    assert not (tmp_path / "remeasured.json").exists()


@pytest.mark.parametrize("times", [-1, 1.5, True, None])
def test_how_often_must_be_a_number(tmp_path: Path, times: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="'remeasure' must be a whole number of at least 0"):
        search(tmp_path, remeasure=times)


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_with_the_real_clock(tmp_path: Path, workers: int) -> None:
    result = run(tmp_path, 2, workers=workers, remeasure=1)
    for trial in result.front:
        assert trial.values["latency_cpu"] > 0
        assert trial.measurements["latency_cpu_spread"] >= 0
        assert trial.measured_on["latency_cpu"]["device"] == "cpu"
    assert read_remeasured(tmp_path).keys() >= {trial.id for trial in result.front}
