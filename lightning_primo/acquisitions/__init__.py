"""What to ask of the models: acquisitions, and how to search their maximum over a conditional space."""

from lightning_primo.acquisitions.candidates import rank_candidates
from lightning_primo.acquisitions.expected_improvement import (
    LogNoisyExpectedImprovement,
    log_expected_improvement,
    prior_exponent,
)

__all__ = ["LogNoisyExpectedImprovement", "log_expected_improvement", "prior_exponent", "rank_candidates"]
