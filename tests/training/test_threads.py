"""What seeds the generators of the process is done in one thread at a time."""

from __future__ import annotations

import importlib
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lightning_primo.problem.trial import Status
from lightning_primo.training import Job, preflight, run_job
from lightning_primo.training.cost_measurement import measure_again
from lightning_primo.training.process_state import one_at_a_time
from tests.tiny import Net
from tests.training.jobs import make_job


@pytest.mark.parametrize("function", [run_job, preflight, measure_again])
def test_threads_wait_for_each_other(tmp_path: Path, function: Callable[[Job], Any]) -> None:
    done = threading.Event()

    def module(config: Any) -> Net:
        done.set()
        return Net(**config)

    def call() -> None:
        function(make_job(tmp_path, 1, module=module))
        done.set()

    thread = threading.Thread(target=call)
    with one_at_a_time:
        thread.start()
        assert not done.wait(0.5)
    thread.join()
    assert done.is_set()


def test_waiting_for_another_thread_is_not_the_trials_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]

    class Waits:
        def __enter__(self) -> None:
            now[0] += 1000.0

        def __exit__(self, *error: object) -> None:
            pass

    monkeypatch.setattr("lightning_primo.training.process_state.one_at_a_time", Waits())
    run = importlib.import_module("lightning_primo.training.run")
    monkeypatch.setattr(run, "time", SimpleNamespace(perf_counter=lambda: now[0]))
    evaluation = run_job(make_job(tmp_path, trial_timeout=500.0))
    assert evaluation.status is Status.OK
    assert evaluation.seconds == 0
