"""Lightning callbacks that work alone in the Trainer of any project."""

from lightning_primo.callbacks.guard import NonFiniteGuard
from lightning_primo.callbacks.pauses import PauseForMeasurements
from lightning_primo.callbacks.reconfigured import ConfiguredSettings, Reconfigured
from lightning_primo.callbacks.reproducibility import ReproducibleEpochs
from lightning_primo.callbacks.reproducible_steps import ReproducibleSteps
from lightning_primo.callbacks.scheduled_hyperparameters import ScheduledHyperparameters
from lightning_primo.callbacks.stop_at_epoch import StopAtEpoch
from lightning_primo.callbacks.stop_file import StopFile
from lightning_primo.callbacks.time_limit import TimeLimit
from lightning_primo.callbacks.tuning import TuningCallback
from lightning_primo.callbacks.validation_at_steps import ValidationAtSteps

__all__ = [
    "ConfiguredSettings",
    "NonFiniteGuard",
    "PauseForMeasurements",
    "Reconfigured",
    "ReproducibleEpochs",
    "ReproducibleSteps",
    "ScheduledHyperparameters",
    "StopAtEpoch",
    "StopFile",
    "TimeLimit",
    "TuningCallback",
    "ValidationAtSteps",
]
