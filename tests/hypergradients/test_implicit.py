from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from lightning.pytorch.callbacks import Callback
from scipy.optimize import minimize_scalar
from torch import Tensor, nn
from torch.func import functional_call
from torch.optim import LBFGS, SGD, Adam

from lightning_primo.hypergradients import (
    ConjugateGradient,
    HessianSolver,
    ImplicitHypergradients,
    NeumannSeries,
    Positive,
    Unbounded,
)
from lightning_primo.hypergradients.implicit_gradient import implicit_gradient
from tests.hypergradients.modules import DOUBLE, TRAIN, VAL, D, N, Network, Ridge, fit, ridge_held_out

ALL = list(range(N))
STANDS_STILL = functools.partial(SGD, lr=0.0)


class Watched(ImplicitHypergradients):
    """Keeps the hypergradients."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.seen: list[list[Tensor]] = []

    def descend(self, gradients: Sequence[Tensor]) -> None:
        self.seen.append([gradient.clone() for gradient in gradients])
        super().descend(gradients)


@pytest.mark.parametrize("solver", [ConjugateGradient(D, damping=0.0), NeumannSeries(300)], ids=["cg", "neumann"])
def test_ridge_regression_in_closed_form(solver: HessianSolver) -> None:
    descent = Watched({"penalty": Positive()}, every=20, solver=solver, optimizer=STANDS_STILL)
    fit(Ridge(0.3), descent, batches=[ALL] * 41)
    penalty = torch.tensor(0.3, dtype=DOUBLE, requires_grad=True)
    (expected,) = torch.autograd.grad(ridge_held_out(penalty), penalty)
    (first,), _, (last,) = descent.seen
    assert last.item() == pytest.approx(expected.item(), rel=1e-6)
    assert first.item() != pytest.approx(expected.item(), rel=1e-2)  # the weights are not where they should be


def test_the_best_penalty_is_found() -> None:
    """Whichever optimizer trains the weights: here one that minimises the training loss in every step."""
    minimises = functools.partial(
        LBFGS, max_iter=40, tolerance_grad=1e-10, tolerance_change=0.0, line_search_fn="strong_wolfe"
    )
    descent = ImplicitHypergradients(
        {"penalty": Positive()},
        every=1,
        solver=ConjugateGradient(D, damping=0.0),
        optimizer=functools.partial(SGD, lr=2.0, momentum=0.2),
    )
    trainer = fit(Ridge(0.3, minimises), descent, batches=[ALL] * 20)
    best = minimize_scalar(
        lambda log: float(ridge_held_out(torch.tensor(math.exp(log), dtype=DOUBLE))), bounds=(-6, 4), method="bounded"
    )
    assert 0 < best.x < 1
    assert math.log(descent.tuned()["tuned_penalty"]) == pytest.approx(best.x, abs=1e-3)
    assert trainer.lightning_module.penalty.item() == descent.tuned()["tuned_penalty"]
    assert trainer.callback_metrics["tuned_penalty"].item() == pytest.approx(descent.tuned()["tuned_penalty"])


@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_a_network_against_its_whole_hessian(dropout: float) -> None:
    """With batch normalisation, and one dropout mask throughout; the reference has the Hessian as a matrix."""
    torch.manual_seed(0)
    module = Network(functools.partial(SGD, lr=0.1), dropout=dropout)
    reference = Network(SGD, dropout=dropout)
    descent = Watched(
        {"penalty": Positive(), "share": Unbounded()},
        every=1,
        solver=ConjugateGradient(200, tolerance=1e-14, damping=30.0),
        optimizer=STANDS_STILL,
    )

    class Before(Callback):
        """Notes the random state that the hypergradient begins with."""

        def on_train_batch_end(self, *args: Any) -> None:
            self.state = torch.get_rng_state()

    before = Before()
    fit(module, before, descent)
    reference.load_state_dict(module.state_dict())
    names = [name for name, _ in reference.named_parameters()]
    shapes = [parameter.shape for parameter in reference.parameters()]
    weights = nn.utils.parameters_to_vector(reference.parameters()).detach()

    def loss(flat: Tensor, penalty: Tensor, share: Tensor) -> Tensor:
        parts = dict(zip(names, torch.split(flat, [math.prod(shape) for shape in shapes]), strict=True))
        tensors = {f"m.{name}": parts[name].view(shape) for name, shape in zip(names, shapes, strict=True)}
        torch.set_rng_state(before.state)
        return functional_call(Step(reference), {**tensors, "m.penalty": penalty, "m.share": share}, (TRAIN.tensors,))

    def held_out(flat: Tensor) -> Tensor:
        parts = torch.split(flat, [math.prod(shape) for shape in shapes])
        tensors = {name: part.view(shape) for name, part, shape in zip(names, parts, shapes, strict=True)}
        x, y = VAL.tensors
        tensors = {name.removeprefix("net."): tensor for name, tensor in tensors.items()}
        return (functional_call(reference.net.eval(), tensors, (x,)).squeeze(-1) - y).square().mean()

    values = (module.penalty, module.share)
    slope = torch.autograd.functional.jacobian(held_out, weights)
    reference.train()
    (hessian, *mixed), *_ = torch.autograd.functional.hessian(loss, (weights, *values))
    solution = torch.linalg.solve(hessian + 30.0 * torch.eye(len(weights), dtype=DOUBLE), slope)
    for found, second in zip(descent.seen[0], mixed, strict=True):
        torch.testing.assert_close(
            found, -(solution @ second.view(len(weights), -1)).view_as(found), rtol=1e-6, atol=1e-9
        )


class Step(nn.Module):
    """The loss of a Network, written down once more."""

    def __init__(self, m: Network) -> None:
        super().__init__()
        self.m = m

    def forward(self, batch: Any) -> Tensor:
        m, (x, y) = self.m, batch
        errors = m.net(x).squeeze(-1) - y
        penalty = torch.stack([weight.square().sum() for weight in m.net.parameters()]).sum()
        return m.share[0] * errors.square().mean() + m.share[1] * errors.abs().mean() + m.penalty * penalty


def test_what_does_not_depend_counts_as_zero() -> None:
    weight = torch.tensor([1.0, 2.0], dtype=DOUBLE, requires_grad=True)
    other = torch.tensor(3.0, dtype=DOUBLE, requires_grad=True)
    gradients = implicit_gradient(
        weight.sum(),  # linear: no Hessian
        (weight * other).sum(),
        weights=[weight],
        hyperparameters=[other],
        solver=NeumannSeries(2),
    )
    assert [gradient.item() for gradient in gradients] == [3.0]  # the direct part


def test_how_often() -> None:
    descent = Watched({"penalty": Positive()}, every=3, solver=NeumannSeries(1))
    fit(Ridge(), descent, batches=[ALL] * 16, accumulate_grad_batches=2)
    assert len(descent.seen) == 3  # after the steps 1, 4 and 7 of 8


def test_the_training_is_left_as_it_is() -> None:
    ends = []
    for callbacks in ([], [Watched({"penalty": Unbounded(), "share": Unbounded()}, every=2, optimizer=STANDS_STILL)]):
        torch.manual_seed(3)
        module = Network(functools.partial(Adam, lr=0.05), dropout=0.3)
        trainer = fit(module, *callbacks, batches=[ALL[:12], ALL[12:]] * 3)
        ends.append(
            {**module.state_dict(), "logged": trainer.callback_metrics["train_loss"], "rng": torch.get_rng_state()}
        )
    assert all(torch.equal(value, ends[1][name]) for name, value in ends[0].items())
