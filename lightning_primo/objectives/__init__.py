"""The objectives as Lightning callbacks: each works in a search, and alone in the Trainer of any project."""

from lightning_primo.objectives.base import CostCallback, ObjectiveCallback, TrainedCallback
from lightning_primo.objectives.costs import FLOPs, Latency, ParameterCount, PeakMemory
from lightning_primo.objectives.metric import Metric, TrainingTime

__all__ = [
    "CostCallback",
    "FLOPs",
    "Latency",
    "Metric",
    "ObjectiveCallback",
    "ParameterCount",
    "PeakMemory",
    "TrainedCallback",
    "TrainingTime",
]
