from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lightning_primo.callbacks import TimeLimit
from lightning_primo.errors import InvalidArgumentError, TrialTimeoutError
from tests.tiny import Net, train_with


def fit(folder: Path, seconds: float, module: Net, **arguments: Any) -> list[float]:
    """Train on a clock that goes by a second at a reading; what it shows at the end."""
    now = [0.0]

    def clock() -> float:
        now[0] += 1.0
        return now[0]

    limit = TimeLimit(seconds, clock=clock)
    train_with(limit, module, folder, **arguments)
    return now


def test_a_training_in_time(tmp_path: Path) -> None:
    # Made, then 2 epochs of 3 batches of training, 3 of validation, and its end.
    assert fit(tmp_path, 14.0, Net()) == [15.0]


@pytest.mark.parametrize(
    ("seconds", "place"),
    [(2.5, "the training of epoch 1"), (3.5, "the validation of epoch 1"), (9.5, "the training of epoch 2")],
)
def test_a_training_that_takes_too_long(tmp_path: Path, seconds: float, place: str) -> None:
    with pytest.raises(TrialTimeoutError, match=place):
        fit(tmp_path, seconds, Net())


@pytest.mark.parametrize("seconds", [0, -1.0, float("nan")])
def test_seconds_must_be_positive(seconds: float) -> None:
    with pytest.raises(InvalidArgumentError, match="'seconds' must be positive"):
        TimeLimit(seconds)


def test_several_processes_look_at_the_end_of_short_epochs() -> None:
    asked: list[bool] = []

    def decide(over: bool, **kwargs: bool) -> bool:
        assert kwargs == {"all": False}
        asked.append(over)
        return over

    seconds = iter([0.0, 2.0, 4.0])
    limit = TimeLimit(3.0, clock=lambda: next(seconds))
    strategy = SimpleNamespace(reduce_boolean_decision=decide)
    trainer: Any = SimpleNamespace(
        world_size=2, strategy=strategy, current_epoch=0, validating=False, sanity_checking=False
    )
    limit.on_train_batch_end(trainer, Net(), None, None, 0)
    limit.on_train_epoch_end(trainer, Net())
    with pytest.raises(TrialTimeoutError, match="the training of epoch 1"):
        limit.on_train_epoch_end(trainer, Net())
    assert asked == [False, True]
