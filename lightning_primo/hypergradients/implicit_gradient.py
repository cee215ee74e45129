"""The hypergradient by the implicit function theorem, from the graphs of two losses."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from lightning_primo.hypergradients.solvers import HessianSolver


def implicit_gradient(
    training_loss: Tensor,
    held_out_loss: Tensor,
    *,
    weights: Sequence[Tensor],
    hyperparameters: Sequence[Tensor],
    solver: HessianSolver,
) -> list[Tensor]:
    """The derivative of `L_V(w(h), h)` by the hyperparameters `h`, where the weights `w(h)` minimise `L_T(w, h)`.

    At a minimum `dL_T/dw = 0` for all `h`, so `dw/dh = -H^-1 d2L_T/dw dh` with the Hessian `H = d2L_T/dw2`, and

        dL_V/dh = d_h L_V - (d_w L_V) H^-1 (d2L_T/dw dh)

    (Lorraine et al. 2020, equation 2 and theorem 1; Pedregosa 2016, equation 2). Both products with second derivatives
    are gradients of a gradient, so neither matrix is formed.

    Args:
        training_loss: `L_T`, a scalar with its graph, which is kept and can be differentiated twice.
        held_out_loss: `L_V`, a scalar with its graph.
        weights: The leaves `w` of both graphs.
        hyperparameters: The leaves `h` of both graphs, of any shapes.
        solver: Of the system with `H`.

    Returns:
        A tensor of the shape of each hyperparameter. Where `L_T` does not depend on one, its direct term alone.
    """
    slope = torch.autograd.grad(training_loss, weights, create_graph=True, allow_unused=True)
    gradient = _flat(slope, weights)
    outer = torch.autograd.grad(held_out_loss, [*weights, *hyperparameters], allow_unused=True)
    vector = _flat(outer[: len(weights)], weights).detach()
    direct = outer[len(weights) :]

    def product(along: Tensor) -> Tensor:
        return _flat(_derivative(gradient, weights, along), weights).detach()

    mixed = _derivative(gradient, hyperparameters, solver.solve(product, vector))
    return [
        _dense(first, hyperparameter) - _dense(second, hyperparameter)
        for first, second, hyperparameter in zip(direct, mixed, hyperparameters, strict=True)
    ]


def _derivative(gradient: Tensor, inputs: Sequence[Tensor], along: Tensor) -> Sequence[Tensor | None]:
    """The derivatives of `gradient . along`; None where there are none."""
    if not gradient.requires_grad:  # of a loss that is linear in the weights
        return [None] * len(inputs)
    return torch.autograd.grad(gradient, inputs, grad_outputs=along, retain_graph=True, allow_unused=True)


def _flat(tensors: Sequence[Tensor | None], like: Sequence[Tensor]) -> Tensor:
    return torch.cat([_dense(tensor, other).flatten() for tensor, other in zip(tensors, like, strict=True)])


def _dense(tensor: Tensor | None, like: Tensor) -> Tensor:
    return torch.zeros_like(like) if tensor is None else tensor
