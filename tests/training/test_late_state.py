"""What is carried on ends no training that it does not understand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lightning_primo.errors import CheckpointWarning
from lightning_primo.problem.trial import Status
from lightning_primo.training import run_job
from lightning_primo.training.carried_state import late_state
from lightning_primo.training.carried_state.carried_values import CarriedValues
from lightning_primo.training.carried_state.data import carried_data
from tests.tiny import Data, Net
from tests.training.jobs import curve, make_job


class Counting(Net):
    """Keeps a list that is carried on."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[float] = []

    def on_train_epoch_end(self) -> None:
        self.seen.append(1.0)


@pytest.mark.parametrize("method", ["begin", "state", "put_back"])
def test_a_training_goes_on_where_something_cannot_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    whole = run_job(make_job(tmp_path / "whole", 2, module=Counting))

    def odd(*arguments: Any) -> None:
        raise TypeError("'odd' object is no part")

    monkeypatch.setattr(CarriedValues, method, odd)
    late_state._warn_of_failure.cache_clear()
    with pytest.warns(CheckpointWarning, match=r"Counting holds .*values: TypeError: 'odd' object is no"):
        parts = [
            run_job(make_job(tmp_path / "parts", end, start_epoch=start, module=Counting))
            for start, end in ((0, 1), (1, 2))
        ]
    assert [part.status for part in parts] == [Status.OK] * 2, parts[0].reason
    assert curve(parts[1])[2] == curve(whole)[2]


class OddData(Data):
    """Its attributes cannot be read."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[float] = []


@pytest.mark.parametrize("function", ["_of_module", "holders_of", "_encoder"])
def test_data_that_cannot_be_read_are_trained_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, function: str
) -> None:
    whole = run_job(make_job(tmp_path / "whole", 2, data=OddData()))

    def odd(*arguments: Any, **keywords: Any) -> None:
        raise TypeError("'odd' object is no part")

    monkeypatch.setattr(carried_data, function, odd)
    late_state._warn_of_failure.cache_clear()
    with pytest.warns(CheckpointWarning, match=r"Net holds .*data: TypeError: 'odd' object is no part"):
        parts = [
            run_job(make_job(tmp_path / "parts", end, start_epoch=start, data=OddData()))
            for start, end in ((0, 1), (1, 2))
        ]
    assert [part.status for part in parts] == [Status.OK] * 2, parts[0].reason
    assert curve(parts[1])[2] == curve(whole)[2]
