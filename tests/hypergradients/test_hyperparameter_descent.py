"""What is refused by all callbacks that tune what a module declares, and what is logged and kept."""

from __future__ import annotations

import functools
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from torch import nn
from torch.optim import SGD

from lightning_primo.errors import InvalidArgumentError, NonFiniteLossError, UnknownNameError
from lightning_primo.hypergradients import (
    ImplicitHypergradients,
    Interval,
    NeumannSeries,
    Positive,
    Unbounded,
    UnrolledHypergradients,
)
from lightning_primo.hypergradients.tuned_tensors import TunedTensors
from tests.hypergradients.modules import DOUBLE, N, Ridge, fit
from tests.tiny import Manual

KINDS = [ImplicitHypergradients, UnrolledHypergradients]
PENALTY = {"penalty": Positive()}
ALL = list(range(N))


class Odd(Ridge):
    """Buffers of other kinds, and one without influence."""

    def __init__(self, penalty: float = 0.3) -> None:
        super().__init__(penalty)
        self.register_buffer("count", torch.tensor(3))
        self.register_buffer("idle", torch.tensor(0.5, dtype=DOUBLE))
        self.register_buffer("number", torch.tensor(0.5, dtype=DOUBLE))

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        return super().training_step(batch, batch_idx) + self.number.item()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("module", "hyperparameters", "error", "message"),
    [
        (Manual(), PENALTY, InvalidArgumentError, "needs automatic optimisation"),
        (Ridge(), {"penality": Positive()}, UnknownNameError, "'penality'; valid choices: 'penalty'"),
        (Ridge(), {"weight": Unbounded()}, InvalidArgumentError, r"'weight' is a param.*register_buffer\('weight'"),
        (Odd(), {"count": Positive()}, InvalidArgumentError, "'count' must be a floating-point .*torch.int64"),
        (Odd(), {"idle": Positive()}, InvalidArgumentError, "does not depend on the hyperparameter 'idle'"),
        (Odd(), {"number": Positive()}, InvalidArgumentError, r"'number': .*without item\(\)"),
        (Ridge(0.0), PENALTY, InvalidArgumentError, r"inside of Positive\(\), .* and is 0.0"),
        (Ridge(0.5), {"penalty": Interval(0, 0.5)}, InvalidArgumentError, r"inside of Interval\(0, 0.5\)"),
    ],
)
def test_what_a_module_must_be_like(kind: Any, module: Any, hyperparameters: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        fit(module, kind(hyperparameters))


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_trainer_must_be_like(kind: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InvalidArgumentError, match=r"precision='bf16-mixed': use '32-true'"):
        fit(Ridge(), kind(PENALTY), precision="bf16-mixed")
    module = Ridge()
    module.extra = nn.Linear(2, 2)
    module.extra._compiled_call_impl = print  # as compile() does, which takes seconds
    with pytest.raises(InvalidArgumentError, match="'extra' of Ridge is compiled"):
        fit(module, kind(PENALTY))
    monkeypatch.setattr(pl.Trainer, "world_size", 2)
    with pytest.raises(InvalidArgumentError, match=rf"{kind.__name__} works in one process"):
        fit(Ridge(), kind(PENALTY))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"hyperparameters": {}}, "at least one buffer"),
        ({"hyperparameters": ["penalty"]}, "'hyperparameters' must be a dict"),
        ({"hyperparameters": {"penalty": Positive}}, "is the class Positive"),
        ({"hyperparameters": PENALTY, "optimizer": "adam"}, "'optimizer' must be a function"),
        ({"hyperparameters": PENALTY, "held_out": ""}, "'held_out'"),
    ],
)
def test_bad_arguments(kind: Any, arguments: Any, message: str) -> None:
    with pytest.raises(InvalidArgumentError, match=message):
        kind(**arguments)


def test_an_optimizer_must_be_made() -> None:
    with pytest.raises(InvalidArgumentError, match="torch optimizer, it returned None"):
        fit(Ridge(), ImplicitHypergradients(PENALTY, optimizer=lambda parameters: None))


def test_a_solver_that_diverges_is_told() -> None:
    solver = NeumannSeries(400, scale=100.0)
    with pytest.raises(NonFiniteLossError, match=r"hypergradient of 'penalty' .* 'scale'"):
        fit(Ridge(), ImplicitHypergradients(PENALTY, solver=solver))


def test_a_value_that_is_rounded_onto_its_end_can_be_resumed() -> None:
    module, domains = Ridge(0.3), {"penalty": Interval(0.25, 0.5)}
    tensors = TunedTensors(module, domains, functools.partial(SGD, lr=1e6, momentum=0.9))
    tensors.step([torch.tensor(1.0, dtype=DOUBLE)])
    assert module.penalty.item() == 0.25
    again = Ridge()
    again.load_state_dict(module.state_dict())
    resumed = TunedTensors(again, domains, functools.partial(SGD, lr=1e6, momentum=0.9), state=tensors.state_dict())
    for both in (tensors, resumed):
        both.step([torch.tensor(-1.0, dtype=DOUBLE)])
    assert resumed.numbers == tensors.numbers
    assert resumed.state_dict()["free"] == tensors.state_dict()["free"]


class Many(Ridge):
    """A penalty for each weight, and a weight for each sample."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("penalties", torch.full((2, 2), 0.1, dtype=DOUBLE))
        self.register_buffer("importance", torch.ones(N, dtype=DOUBLE))

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        x, y = batch
        errors = (x @ self.weight - y).square()
        return (self.importance * errors).mean() + (self.penalties.flatten() * self.weight.square()).sum()


@pytest.mark.parametrize("kind", KINDS)
def test_tensors_are_tuned_entry_by_entry(kind: Any) -> None:
    descent = kind({"penalties": Positive(), "importance": Interval(0, 2)}, optimizer=functools.partial(SGD, lr=0.1))
    module = Many()
    trainer = fit(module, descent, batches=[ALL] * 3)
    assert list(descent.tuned()) == [*(f"tuned_penalties_{i}" for i in range(4)), "tuned_importance_mean"]
    assert descent.tuned()["tuned_penalties_2"] == module.penalties[1, 0].item()
    assert descent.tuned()["tuned_importance_mean"] == pytest.approx(module.importance.mean().item())
    assert len(set(module.importance.tolist())) == N
    assert set(descent.tuned()) <= set(trainer.callback_metrics)


@pytest.mark.parametrize("kind", KINDS)
def test_outside_of_a_fit_there_is_nothing(kind: Any) -> None:
    descent = kind(PENALTY)
    assert descent.tuned() == {}
    with pytest.raises(RuntimeError, match="works inside of a Trainer's fit"):
        descent.held_out_batch()
