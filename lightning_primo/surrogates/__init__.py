"""Models of the objectives."""

from lightning_primo.surrogates.cost_regression import CostRegression
from lightning_primo.surrogates.gp import Draws, GaussianProcess

__all__ = ["CostRegression", "Draws", "GaussianProcess"]
