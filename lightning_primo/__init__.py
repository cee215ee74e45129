"""Joint neural architecture search and hyperparameter optimisation with several objectives, for PyTorch Lightning."""

from lightning_primo.algorithms import (
    MOASHA,
    MOBANANAS,
    MOBOHB,
    MSEHVI,
    SHEMOA,
    Algorithm,
    BulkAndCut,
    Hyperband,
    PriMO,
    PriorSampler,
    RandomSearch,
    SobolSampler,
    SuccessiveHalving,
    UniformSampler,
)
from lightning_primo.callbacks import FLOPs, Latency, Metric, ParameterCount, PeakMemory, TrainingTime
from lightning_primo.namespaces import alias_pytorch_lightning
from lightning_primo.pareto import AugmentedChebyshev, WeightedSum
from lightning_primo.results import Comparison, Result
from lightning_primo.search import Search
from lightning_primo.space import Prior

__all__ = [
    "MOASHA",
    "MOBANANAS",
    "MOBOHB",
    "MSEHVI",
    "SHEMOA",
    "Algorithm",
    "AugmentedChebyshev",
    "BulkAndCut",
    "Comparison",
    "FLOPs",
    "Hyperband",
    "Latency",
    "Metric",
    "ParameterCount",
    "PeakMemory",
    "PriMO",
    "Prior",
    "PriorSampler",
    "RandomSearch",
    "Result",
    "Search",
    "SobolSampler",
    "SuccessiveHalving",
    "TrainingTime",
    "UniformSampler",
    "WeightedSum",
    "alias_pytorch_lightning",
]

__version__ = "0.1.0"
