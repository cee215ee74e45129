from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam, AdamW

from lightning_primo.errors import InvalidArgumentError
from lightning_primo.hypergradients import ForwardMode, Positive, ReverseMode, Unbounded, UnrolledHypergradients
from lightning_primo.hypergradients.weight_updates import memory_of, weight_update
from tests.hypergradients.modules import DOUBLE, VAL, N, Network, Ridge, fit, ridge_held_out

ALL = list(range(N))
BATCHES = [ALL[:8], ALL[8:16], ALL[16:], ALL[4:20]]
STANDS_STILL = functools.partial(SGD, lr=0.0)
OPTIMIZERS: dict[str, Callable[..., Any]] = {
    "sgd": functools.partial(SGD, lr=0.1),
    "momentum": functools.partial(SGD, lr=0.05, momentum=0.9, weight_decay=0.01),
    "nesterov": functools.partial(SGD, lr=0.05, momentum=0.9, nesterov=True),
    "adam": functools.partial(Adam, lr=0.05, weight_decay=0.01),
    "adamw": functools.partial(AdamW, lr=0.05, weight_decay=0.1, betas=(0.8, 0.9)),
}


class Watched(UnrolledHypergradients):
    """Keeps the hypergradients; the hyperparameters stay as they are."""

    def __init__(self, **options: Any) -> None:
        options = {"hyperparameters": {"penalty": Positive(), "share": Unbounded()}, **options}
        super().__init__(options.pop("hyperparameters"), optimizer=STANDS_STILL, **options)
        self.seen: list[list[Tensor]] = []

    def descend(self, gradients: Sequence[Tensor]) -> None:
        self.seen.append([gradient.clone() for gradient in gradients])
        super().descend(gradients)


def trained(optimizer: Any, *callbacks: pl.Callback, change: Any = None, kind: Any = Network, **arguments: Any) -> Any:
    """A network with dropout, trained for an epoch from the same start with the same masks; `change` comes before."""
    torch.manual_seed(5)
    module = kind(optimizer, dropout=0.3)
    if change is not None:
        change(module)
    fit(module, *callbacks, batches=BATCHES, **arguments)
    return module


def held_out(module: Any) -> float:
    x, y = VAL.tensors
    with torch.no_grad():
        return float((module.net.eval()(x).squeeze(-1) - y).square().mean())


class Scheduled(Network):
    """The learning rate changes with every step."""

    def configure_optimizers(self) -> Any:
        optimizer = self.make_optimizer(self.parameters())
        schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.7)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_both_modes_equal_finite_differences_of_whole_trainings(name: str) -> None:
    reverse, forward = Watched(differentiation=ReverseMode()), Watched(differentiation=ForwardMode())
    for callback in (reverse, forward):
        trained(OPTIMIZERS[name], callback, kind=Scheduled)
    (found,), (other,) = reverse.seen, forward.seen
    torch.testing.assert_close(other, found, rtol=1e-9, atol=1e-12)
    if name not in ("nesterov", "adamw"):
        return
    eps = 1e-6
    for index, entry in enumerate(("penalty", "share_0", "share_1")):
        losses = []
        for sign in (1, -1):

            def change(module: Any, entry: str = entry, sign: int = sign) -> None:
                buffer, _, place = entry.partition("_")
                module.get_buffer(buffer).view(-1)[int(place or 0)] += sign * eps

            losses.append(held_out(trained(OPTIMIZERS[name], change=change, kind=Scheduled)))
        expected = (losses[0] - losses[1]) / (2 * eps)
        assert torch.cat([gradient.flatten() for gradient in found])[index].item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("mode", [ReverseMode(), ForwardMode()], ids=["reverse", "forward"])
def test_to_convergence_it_is_ridge_regression_in_closed_form(mode: Any) -> None:
    descent = Watched(hyperparameters={"penalty": Positive()}, steps=50, differentiation=mode)
    fit(Ridge(0.3), descent, batches=[ALL] * 50)
    penalty = torch.tensor(0.3, dtype=DOUBLE, requires_grad=True)
    (expected,) = torch.autograd.grad(ridge_held_out(penalty), penalty)
    assert [gradient.item() for (gradient,) in descent.seen] == [pytest.approx(expected.item(), rel=1e-6)]


def test_windows_end_with_the_epoch() -> None:
    descent = Watched(hyperparameters={"penalty": Positive()}, steps=3)
    fit(Ridge(), descent, batches=[ALL] * 7, max_epochs=2)
    assert len(descent.seen) == 6  # of 3, 3 and 1 steps


def test_hyperparameters_descend() -> None:
    descent = UnrolledHypergradients({"penalty": Positive()}, steps=5, optimizer=functools.partial(Adam, lr=0.2))
    fit(Ridge(0.01), descent, batches=[ALL] * 50)
    tuned = descent.tuned()["tuned_penalty"]
    before, after = (float(ridge_held_out(torch.tensor(p, dtype=DOUBLE))) for p in (0.01, tuned))
    assert after < before


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_updates_are_those_of_torch(name: str) -> None:
    generator = torch.Generator().manual_seed(0)
    weight = nn.Parameter(torch.randn(3, 2, dtype=DOUBLE, generator=generator))
    optimizer = OPTIMIZERS[name]([weight])
    update = weight_update(optimizer)
    again, (memory, number) = weight.detach().clone(), memory_of(update, optimizer, weight)
    for step in range(5):
        weight.grad = torch.randn(3, 2, dtype=DOUBLE, generator=generator)
        weight.grad[0] = 0.0 if step < 3 else 1.0
        again, memory = update(again, weight.grad, memory, options=optimizer.param_groups[0], number=number + step + 1)
        optimizer.step()
        torch.testing.assert_close(again, weight.detach(), rtol=1e-12, atol=1e-15)
    kept, number = memory_of(update, optimizer, weight)
    if name != "sgd":
        torch.testing.assert_close(kept, memory, rtol=1e-12, atol=1e-15)
    assert number == (5 if name.startswith("adam") else 0)


def test_a_weight_that_never_had_a_gradient_spoils_nothing() -> None:
    """The derivative of Adam's root is infinite there."""

    class Idle(Network):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            return super().training_step(batch, batch_idx) + 0.0 * self.idle.sum()

        def configure_optimizers(self) -> Any:
            return Adam([*self.net.parameters(), self.idle], lr=0.05)

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self.idle = nn.Parameter(torch.ones(2, dtype=DOUBLE))

    for mode in (ReverseMode(), ForwardMode()):
        descent = Watched(differentiation=mode)
        trained(None, descent, kind=Idle)
        assert all(bool(torch.isfinite(gradient).all()) for gradient in descent.seen[0])


class Hooked(Network):
    def on_after_backward(self) -> None:
        for parameter in self.parameters():
            parameter.grad *= 0.5


class OwnGenerator(Network):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.generator = torch.Generator().manual_seed(0)

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        factor = torch.rand((), generator=self.generator, dtype=DOUBLE)
        return super().training_step(batch, batch_idx) * factor


@pytest.mark.parametrize("kind", [Hooked, OwnGenerator])
def test_steps_that_lead_elsewhere_are_refused(kind: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="miss the weights that it has reached"):
        trained(OPTIMIZERS["sgd"], Watched(), kind=kind)


@pytest.mark.parametrize(
    ("optimizer", "arguments", "message"),
    [
        (functools.partial(torch.optim.Adagrad, lr=0.1), {}, "steps of Adagrad .*SGD, Adam, AdamW"),
        (functools.partial(Adam, amsgrad=True), {}, "amsgrad=True"),
        (functools.partial(SGD, lr=0.1, momentum=0.9, dampening=0.5), {}, "dampening=0.5"),
        (functools.partial(SGD, lr=0.1), {"accumulate_grad_batches": 2}, "accumulate_grad_batches=2"),
        (functools.partial(SGD, lr=0.1), {"gradient_clip_val": 1.0}, "gradient_clip_val=1.0"),
    ],
    ids=["adagrad", "amsgrad", "dampening", "accumulate", "clip"],
)
def test_what_it_cannot_differentiate_is_refused(optimizer: Any, arguments: Any, message: str) -> None:
    with pytest.raises(InvalidArgumentError, match=message):
        trained(optimizer, Watched(), **arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [({"steps": 0}, "'steps'"), ({"differentiation": ForwardMode}, "is the class ForwardMode")],
)
def test_bad_arguments(arguments: Any, message: str) -> None:
    with pytest.raises(InvalidArgumentError, match=message):
        UnrolledHypergradients({"penalty": Positive()}, **arguments)
