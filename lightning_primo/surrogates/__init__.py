"""Models of the objectives, what to ask of them, and how to search their answers over a conditional space."""

from lightning_primo.surrogates.acquisition import (
    LogNoisyExpectedImprovement,
    log_expected_improvement,
    prior_exponent,
)
from lightning_primo.surrogates.candidates import rank_candidates
from lightning_primo.surrogates.exact import ExactModel
from lightning_primo.surrogates.gp import Draws, GaussianProcess

__all__ = [
    "Draws",
    "ExactModel",
    "GaussianProcess",
    "LogNoisyExpectedImprovement",
    "log_expected_improvement",
    "prior_exponent",
    "rank_candidates",
]
