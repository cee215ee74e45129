"""What to ask of the models: acquisitions, and how to search their maximum over a conditional space."""

from lightning_primo.acquisitions.candidates import rank_candidates
from lightning_primo.acquisitions.confidence_bound import rank_trainings
from lightning_primo.acquisitions.expected_improvement import LogNoisyExpectedImprovement, log_expected_improvement
from lightning_primo.acquisitions.hypervolume_improvement import LogExpectedHypervolumeImprovement
from lightning_primo.acquisitions.prior_weighting import prior_exponent, weighted_by_prior
from lightning_primo.acquisitions.screening import Acquisition, screened

__all__ = [
    "Acquisition",
    "LogExpectedHypervolumeImprovement",
    "LogNoisyExpectedImprovement",
    "log_expected_improvement",
    "prior_exponent",
    "rank_candidates",
    "rank_trainings",
    "screened",
    "weighted_by_prior",
]
