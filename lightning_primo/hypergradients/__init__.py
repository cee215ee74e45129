"""Hyperparameters that are tuned by their gradients during one training, by callbacks for any Trainer."""

from lightning_primo.hypergradients.descent import HypergradientDescent
from lightning_primo.hypergradients.domains import Domain, Interval, Positive, Unbounded
from lightning_primo.hypergradients.implicit import ImplicitHypergradients
from lightning_primo.hypergradients.learning_rate_rules import Additive, LearningRateRule, Multiplicative
from lightning_primo.hypergradients.solvers import ConjugateGradient, HessianSolver, NeumannSeries
from lightning_primo.hypergradients.trajectory import Differentiation, ForwardMode, ReverseMode
from lightning_primo.hypergradients.unrolled import UnrolledHypergradients

__all__ = [
    "Additive",
    "ConjugateGradient",
    "Differentiation",
    "Domain",
    "ForwardMode",
    "HessianSolver",
    "HypergradientDescent",
    "ImplicitHypergradients",
    "Interval",
    "LearningRateRule",
    "Multiplicative",
    "NeumannSeries",
    "Positive",
    "ReverseMode",
    "Unbounded",
    "UnrolledHypergradients",
]
