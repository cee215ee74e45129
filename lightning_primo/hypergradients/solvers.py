"""`(H + damping)^-1 v` from products of the Hessian `H` with vectors alone, for implicit hypergradients."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor
from typing_extensions import override

from lightning_primo.checks import check_number, check_whole

Product = Callable[[Tensor], Tensor]
"""`v -> H v`, both `n`, where `H` is symmetric."""


class HessianSolver(ABC):
    """An approximation of `(H + damping)^-1 v`.

    Args:
        damping: Added to the Hessian's diagonal, not negative. With it the weights are taken for those that minimise
            the loss plus `damping / 2` times their squared distance from where they are.

    Raises:
        InvalidArgumentError: If it is negative.
    """

    def __init__(self, *, damping: float) -> None:
        self.damping = check_number("damping", damping, "a finite number of at least 0", least=0)

    @abstractmethod
    def solve(self, product: Product, vector: Tensor) -> Tensor:
        """The solution, `n`, for the right-hand side `vector`, `n`."""


class NeumannSeries(HessianSolver):
    """`scale * sum over j = 0 .. terms of (I - scale (H + damping))^j v` (Lorraine et al. 2020, equation 11).

    This is what `terms` steps of gradient descent at the rate `scale` would find, so curvatures below
    `1 / (scale * terms)` count as larger than they are: the result is shorter than the solution, not wild. It diverges
    where `scale` times the largest eigenvalue exceeds 2.

    Args:
        terms: Products with the Hessian, at least 1.
        scale: Positive; the learning rate of the training is a good choice where that is SGD.
        damping: Added to the Hessian's diagonal.

    Raises:
        InvalidArgumentError: For arguments out of range.
    """

    def __init__(self, terms: int = 20, *, scale: float = 0.1, damping: float = 0.0) -> None:
        super().__init__(damping=damping)
        self.terms = check_whole("terms", terms, least=1)
        self.scale = check_number("scale", scale, "a positive number", above=0)

    @override
    def solve(self, product: Product, vector: Tensor) -> Tensor:
        term, total = vector, vector
        for _ in range(self.terms):
            term = term - self.scale * (product(term) + self.damping * term)
            total = total + term
        return self.scale * total


class ConjugateGradient(HessianSolver):
    """The conjugate-gradient method from zero (Pedregosa 2016), exact after `n` iterations for a positive definite `n x
    n`.

    Where it meets a direction without positive curvature, as between minima, it stops with what it has; in the first
    iteration that is `vector` itself, as if the Hessian were the identity.

    Args:
        iterations: The most products with the Hessian, at least 1.
        tolerance: It stops where the residual is shorter than this fraction of `vector`; not negative.
        damping: Added to the Hessian's diagonal, which for neural networks makes it positive definite in most places.

    Raises:
        InvalidArgumentError: For arguments out of range.
    """

    def __init__(self, iterations: int = 20, *, tolerance: float = 1e-6, damping: float = 0.01) -> None:
        super().__init__(damping=damping)
        self.iterations = check_whole("iterations", iterations, least=1)
        self.tolerance = check_number("tolerance", tolerance, "a finite number of at least 0", least=0)

    @override
    def solve(self, product: Product, vector: Tensor) -> Tensor:
        solution = torch.zeros_like(vector)
        residual = direction = vector
        squared = residual @ residual
        enough = self.tolerance**2 * squared
        for iteration in range(self.iterations):
            if squared <= enough:
                break
            image = product(direction) + self.damping * direction
            curvature = direction @ image
            if curvature <= 0:
                return vector if iteration == 0 else solution
            length = squared / curvature
            solution = solution + length * direction
            residual = residual - length * image
            before, squared = squared, residual @ residual
            direction = residual + (squared / before) * direction
        return solution
