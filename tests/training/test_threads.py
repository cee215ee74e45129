"""What seeds the generators of the process is done in one thread at a time."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lightning_primo.training import Job, preflight, run_job
from lightning_primo.training.isolation import one_at_a_time
from lightning_primo.training.remeasure import measure_again
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
