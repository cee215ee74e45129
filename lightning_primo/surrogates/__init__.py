"""Models of the objectives."""

from lightning_primo.surrogates.cost_regression import ExactModel
from lightning_primo.surrogates.gp import Draws, GaussianProcess

__all__ = ["Draws", "ExactModel", "GaussianProcess"]
