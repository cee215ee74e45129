"""Objectives as Lightning callbacks: each works in a search, and alone in the Trainer of any project."""

from lightning_primo.callbacks.base import CostCallback, ObjectiveCallback, TrainedCallback
from lightning_primo.callbacks.costs import FLOPs, Latency, ParameterCount, PeakMemory
from lightning_primo.callbacks.guard import NonFiniteGuard
from lightning_primo.callbacks.metric import Metric, TrainingTime
from lightning_primo.callbacks.recorder import Record, Recorder, read_record
from lightning_primo.callbacks.reproducible import ReproducibleEpochs
from lightning_primo.callbacks.stop_at_epoch import ResumableMaxSteps, StopAtEpoch

__all__ = [
    "CostCallback",
    "FLOPs",
    "Latency",
    "Metric",
    "NonFiniteGuard",
    "ObjectiveCallback",
    "ParameterCount",
    "PeakMemory",
    "Record",
    "Recorder",
    "ReproducibleEpochs",
    "ResumableMaxSteps",
    "StopAtEpoch",
    "TrainedCallback",
    "TrainingTime",
    "read_record",
]
