from __future__ import annotations

import pytest

from lightning_primo.workers import InProcess


def test_runs_at_submit() -> None:
    seen = []
    with InProcess() as executor:
        future = executor.submit(lambda x, y: seen.append(x) or x + y, 1, 2)
        assert seen == [1]
        assert future.done()
        assert future.result() == 3
    with pytest.raises(RuntimeError, match="shut down"):
        executor.submit(int)


def test_exceptions_stay_in_the_future_and_interrupts_pass() -> None:
    executor = InProcess()
    assert isinstance(executor.submit(int, "x").exception(), ValueError)

    def interrupt() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        executor.submit(interrupt)
