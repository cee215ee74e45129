from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from lightning_primo.errors import InvalidArgumentError
from lightning_primo.hypergradients import ConjugateGradient, HessianSolver, NeumannSeries
from tests.hypergradients.modules import DOUBLE

VECTOR = torch.tensor([1.0, -2.0, 3.0], dtype=DOUBLE)


def symmetric(*eigenvalues: float) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    basis, _ = torch.linalg.qr(torch.randn(len(eigenvalues), len(eigenvalues), dtype=DOUBLE, generator=generator))
    return basis @ torch.diag(torch.tensor(eigenvalues, dtype=DOUBLE)) @ basis.T


@pytest.mark.parametrize("damping", [0.0, 0.5])
@pytest.mark.parametrize("kind", [lambda d: ConjugateGradient(3, damping=d), lambda d: NeumannSeries(400, damping=d)])
def test_the_solution_in_closed_form(kind: Any, damping: float) -> None:
    matrix, vector = symmetric(0.5, 1.0, 4.0), VECTOR.clone()
    expected = torch.linalg.solve(matrix + damping * torch.eye(3, dtype=DOUBLE), VECTOR)
    torch.testing.assert_close(kind(damping).solve(lambda v: matrix @ v, vector), expected, rtol=1e-6, atol=1e-8)
    assert torch.equal(vector, VECTOR)


def test_the_series_is_what_so_many_steps_of_gradient_descent_find() -> None:
    matrix = symmetric(0.5, 1.0, 4.0)
    solution = torch.zeros_like(VECTOR)
    for _ in range(6):
        solution = solution - 0.1 * (matrix @ solution - VECTOR)
    found = NeumannSeries(5, scale=0.1).solve(lambda v: matrix @ v, VECTOR)
    torch.testing.assert_close(found, solution, rtol=1e-12, atol=0)


def test_conjugate_gradients_stop_where_nothing_is_left() -> None:
    matrix, products = symmetric(0.5, 1.0, 4.0), []

    def product(v: Tensor) -> Tensor:
        products.append(v)
        return matrix @ v

    found = ConjugateGradient(50, damping=0.0).solve(product, VECTOR)
    assert len(products) == 3
    torch.testing.assert_close(matrix @ found, VECTOR, rtol=1e-8, atol=0)
    assert torch.equal(ConjugateGradient().solve(product, torch.zeros(3, dtype=DOUBLE)), torch.zeros(3, dtype=DOUBLE))


def test_conjugate_gradients_stop_before_directions_without_curvature() -> None:
    saddle = torch.diag(torch.tensor([2.0, -1.0, 1.0], dtype=DOUBLE))
    along = torch.tensor([0.0, 1.0, 0.0], dtype=DOUBLE)
    solver = ConjugateGradient(9, damping=0.0)
    assert torch.equal(solver.solve(lambda v: saddle @ v, along), along)
    mixed = torch.tensor([1.0, 0.5, 0.0], dtype=DOUBLE)  # the first direction curves upwards, the second does not
    found = solver.solve(lambda v: saddle @ v, mixed)
    torch.testing.assert_close(found, mixed * (mixed @ mixed) / (mixed @ saddle @ mixed), rtol=1e-12, atol=0)


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda: NeumannSeries(0), "terms"),
        (lambda: NeumannSeries(scale=0.0), "scale"),
        (lambda: NeumannSeries(damping=-1.0), "damping"),
        (lambda: ConjugateGradient(0), "iterations"),
        (lambda: ConjugateGradient(tolerance=-1e-3), "tolerance"),
        (lambda: ConjugateGradient(damping=float("nan")), "damping"),
    ],
)
def test_bad_arguments(make: Any, name: str) -> None:
    with pytest.raises(InvalidArgumentError, match=f"'{name}'"):
        make()


def test_a_solver_of_ones_own() -> None:
    class Identity(HessianSolver):
        def solve(self, product: Any, vector: Tensor) -> Tensor:
            return vector

    assert Identity(damping=0.0).solve(lambda v: v, VECTOR) is VECTOR
