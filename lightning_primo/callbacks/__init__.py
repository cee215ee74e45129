"""Objectives as Lightning callbacks: each works in a search, and alone in the Trainer of any project."""

from lightning_primo.callbacks.base import CostCallback, ObjectiveCallback, TrainedCallback
from lightning_primo.callbacks.costs import FLOPs, Latency, ParameterCount, PeakMemory
from lightning_primo.callbacks.guard import NonFiniteGuard
from lightning_primo.callbacks.metric import Metric, TrainingTime
from lightning_primo.callbacks.micro_batches import MicroBatches
from lightning_primo.callbacks.pauses import PauseForMeasurements
from lightning_primo.callbacks.recorder import Record, Recorder, read_record
from lightning_primo.callbacks.reproducible import ReproducibleEpochs
from lightning_primo.callbacks.stop_at_epoch import ResumableMaxSteps, StopAtEpoch
from lightning_primo.callbacks.time_limit import TimeLimit

__all__ = [
    "CostCallback",
    "FLOPs",
    "Latency",
    "Metric",
    "MicroBatches",
    "NonFiniteGuard",
    "ObjectiveCallback",
    "ParameterCount",
    "PauseForMeasurements",
    "PeakMemory",
    "Record",
    "Recorder",
    "ReproducibleEpochs",
    "ResumableMaxSteps",
    "StopAtEpoch",
    "TimeLimit",
    "TrainedCallback",
    "TrainingTime",
    "read_record",
]
