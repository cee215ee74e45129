"""The search algorithms. Each knows a `Problem` and nothing of Lightning; pass an instance to `Search`."""

from lightning_primo.algorithms.base import Algorithm
from lightning_primo.algorithms.halving import Hyperband, SuccessiveHalving, rung_epochs
from lightning_primo.algorithms.moasha import MOASHA
from lightning_primo.algorithms.primo import PriMO
from lightning_primo.algorithms.random_search import RandomSearch
from lightning_primo.algorithms.sampling import PriorSampler, Sampler, SobolSampler, UniformSampler

__all__ = [
    "MOASHA",
    "Algorithm",
    "Hyperband",
    "PriMO",
    "PriorSampler",
    "RandomSearch",
    "Sampler",
    "SobolSampler",
    "SuccessiveHalving",
    "UniformSampler",
    "rung_epochs",
]
