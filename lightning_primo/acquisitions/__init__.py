"""What to ask of the models: acquisitions, and how to search their maximum over a conditional space."""

from lightning_primo.acquisitions.acquisition_function import Acquisition, AcquisitionFunction
from lightning_primo.acquisitions.candidates import rank_candidates
from lightning_primo.acquisitions.confidence_bound import rank_trainings
from lightning_primo.acquisitions.expected_improvement import (
    LogExpectedImprovement,
    LogNoisyExpectedImprovement,
    log_expected_improvement,
)
from lightning_primo.acquisitions.hypervolume_improvement import (
    HypervolumeImprovement,
    LogExpectedHypervolumeImprovement,
)
from lightning_primo.acquisitions.max_value_entropy import MaxValueEntropy
from lightning_primo.acquisitions.prior_weighting import prior_exponent, weighted_by_prior
from lightning_primo.acquisitions.probability_of_improvement import ProbabilityOfImprovement
from lightning_primo.acquisitions.scalarized_acquisition import ScalarizedAcquisition
from lightning_primo.acquisitions.screening import Worth, screened
from lightning_primo.acquisitions.thompson_sampling import ThompsonSampling
from lightning_primo.acquisitions.upper_confidence_bound import UpperConfidenceBound

__all__ = [
    "Acquisition",
    "AcquisitionFunction",
    "HypervolumeImprovement",
    "LogExpectedHypervolumeImprovement",
    "LogExpectedImprovement",
    "LogNoisyExpectedImprovement",
    "MaxValueEntropy",
    "ProbabilityOfImprovement",
    "ScalarizedAcquisition",
    "ThompsonSampling",
    "UpperConfidenceBound",
    "Worth",
    "log_expected_improvement",
    "prior_exponent",
    "rank_candidates",
    "rank_trainings",
    "screened",
    "weighted_by_prior",
]
