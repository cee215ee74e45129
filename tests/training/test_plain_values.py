"""Values of users' objects as a checkpoint has them, and what of these is left alone."""

from __future__ import annotations

import collections
import dataclasses
import functools
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from lightning_primo.problem.trial import Status
from lightning_primo.training import run_job
from lightning_primo.training.carried_state.carried_values import CarriedValues
from lightning_primo.training.carried_state.values import values_by_place
from lightning_primo.training.carried_state.values.holders import holders_of
from lightning_primo.training.carried_state.values.plain_values import Encoder, NotPlainError, decoded, fingerprint
from lightning_primo.training.carried_state.values.shared_tensors import Restored
from lightning_primo.training.carried_state.values.values_by_place import ValuesByPlace
from tests.tiny import Net
from tests.training.jobs import make_job

CPU = torch.device("cpu")


def _again(value: Any, present: Any = None) -> Any:
    return decoded(Encoder(CPU).encoded(value), present, Restored(CPU))


def test_a_deque_that_is_not_there_keeps_its_bound() -> None:
    assert _again(collections.deque([1, 2], maxlen=2)).maxlen == 2
    assert _again(collections.deque([1, 2])).maxlen is None


def _by_default() -> collections.defaultdict[str, Any]:
    return collections.defaultdict(lambda: collections.defaultdict(list))


def test_a_defaultdict_goes_on_making_what_is_missing() -> None:
    history = _by_default()
    history["train"]["loss"].append(1)
    for new in (_again(history, _by_default()), _again({"all": history["train"]})):
        kept = new.get("train", new.get("all"))
        assert kept == {"loss": [1]}
        kept["accuracy"].append(2)
    with pytest.raises(NotPlainError):  # what made it is in no checkpoint
        _again(history)


def _deep() -> list[Any]:
    value: list[Any] = []
    for _ in range(5000):
        value = [value]
    return value


@pytest.mark.parametrize(
    "make", [_deep, lambda: "x" * (1 << 23), lambda: [np.zeros(1)] * 5000], ids=["deep", "a long text", "many arrays"]
)
def test_what_would_take_long_is_not_kept(make: Callable[[], Any]) -> None:
    with pytest.raises(NotPlainError):
        Encoder(CPU).encoded(make())


@dataclasses.dataclass(frozen=True)
class Settings:
    """Cannot be set, and has an attribute that follows from another."""

    strength: float
    seen: Any = None

    @functools.cached_property
    def weights(self) -> list[float]:
        return [self.strength] * 2


def test_a_frozen_object_goes_on_but_what_follows_from_its_settings_is_its_own() -> None:
    parent, child = Settings(0.1), Settings(0.2)
    values, of_child = ValuesByPlace(), ValuesByPlace()
    values.begin(holders_of({"settings": parent}), Encoder(CPU))
    of_child.begin(holders_of({"settings": child}), Encoder(CPU))
    object.__setattr__(parent, "seen", [1])
    assert parent.weights == [0.1, 0.1]
    saved, lost = values.changed(holders_of({"settings": parent}), Encoder(CPU))
    of_child.put_back(holders_of({"settings": child}), saved, Encoder(CPU))
    assert child.seen == [1]
    assert child.weights == [0.2, 0.2]
    assert not lost


class AnswersToAnything:
    __slots__ = ()

    def __getattr__(self, name: str) -> None:
        return None


class Odd(Net):
    """Has a sparse buffer, an object without attributes that claims to have some, and a reference to what is gone."""

    def __init__(self, lr: float = 0.02) -> None:
        super().__init__(lr)
        self.register_buffer("adjacency", torch.eye(3).to_sparse())
        self.anything = AnswersToAnything()
        gone = Settings(0.0)
        self.gone = weakref.proxy(gone)


@pytest.mark.filterwarnings("ignore:Validating sparse tensor invariants:UserWarning")  # of torch.load
def test_odd_parts_do_not_end_a_training(tmp_path: Path) -> None:
    evaluation = run_job(make_job(tmp_path, 1, module=Odd))
    assert evaluation.status is Status.OK, evaluation.reason


def test_layers_without_a_shape_yet_are_taken() -> None:
    class Lazy(Net):
        def __init__(self) -> None:
            super().__init__()
            self.lazy = nn.LazyLinear(3)

    CarriedValues().begin(Lazy())


@pytest.mark.filterwarnings("ignore:`torch.nn.utils.weight_norm` is deprecated:FutureWarning")
def test_a_weight_that_hooks_compute_is_not_kept_twice() -> None:
    module = Net()
    module.normed = nn.utils.weight_norm(nn.Linear(2, 2))
    values = CarriedValues()
    values.begin(module)
    with torch.no_grad():
        module.normed(torch.ones(1, 2))
    assert not values.state(None, module)  # type: ignore[arg-type]


def test_long_lists_are_not_looked_through_for_what_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    module, looked = Net(), []
    monkeypatch.setattr(values_by_place, "has_state", lambda value: looked.append(value))
    values = ValuesByPlace()
    values.begin(holders_of({"": module}), Encoder(CPU))
    module.rows = [object()] * 100_000
    assert values.changed(holders_of({"": module}), Encoder(CPU))[1] == ["rows"]
    assert len(looked) < 100


class Counts(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.n = 0


def test_numbers_of_modules_outside_the_trained_one_go_on() -> None:
    parent, child = Net(), Net()
    parent.counts, child.counts = [Counts()], [Counts()]
    of_parent, of_child = CarriedValues(), CarriedValues()
    of_parent.begin(parent)
    of_child.begin(child)
    parent.counts[0].n = 3
    parent.own = 4  # which `CarriedNumbers` keeps
    state = of_parent.state(None, parent)  # type: ignore[arg-type]
    assert list(of_parent.names(state)) == ["counts[0].n"]
    of_child.put_back(child, state)
    assert child.counts[0].n == 3


def test_a_view_of_one_number_has_a_print() -> None:
    one, other = torch.tensor(3).expand(1), torch.tensor(4).expand(1)
    assert one.stride() == (0,)  # which counts as contiguous
    assert fingerprint(Encoder(CPU).encoded(one)) == fingerprint(Encoder(CPU).encoded(torch.tensor([3])))
    assert fingerprint(Encoder(CPU).encoded(one)) != fingerprint(Encoder(CPU).encoded(other))
