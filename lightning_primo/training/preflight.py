"""One batch of training before a search starts, to find before hours are spent what can never work."""

from __future__ import annotations

import copy
import tempfile
from pathlib import Path

import lightning.pytorch as pl
from lightning.pytorch.callbacks import Checkpoint

from lightning_primo.callbacks.base import TrainedCallback
from lightning_primo.errors import InvalidArgumentError, MetricNotLoggedError, NotMeasurableError
from lightning_primo.training.costs import measure_costs
from lightning_primo.training.failures import interruption
from lightning_primo.training.isolation import memory_freed, process_kept, quiet_lightning
from lightning_primo.training.job import Job, build
from lightning_primo.training.trainer import make_trainer


class _Names(Checkpoint):
    """Collects what is logged, after the module's own hooks."""

    def __init__(self, objectives: list[TrainedCallback]) -> None:
        self.objectives = objectives
        self.names: set[str] = set()

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.names = set(trainer.callback_metrics)
        for callback in self.objectives:
            callback.read(trainer, pl_module)


def preflight(job: Job) -> set[str] | None:
    """The names of the metrics that the module of `job` logs in one training and one validation batch.

    It writes nothing to the trial's directory, and the process stays as it is.

    Returns:
        The names, or None where the user's code raised an exception, which the trial will meet and report, and where
        a bound on a cost keeps this configuration from being trained.

    Raises:
        NotMeasurableError: If a cost can't be measured.
        InvalidArgumentError: If an argument turns out not to fit, such as a device that is not there.
        MetricNotLoggedError: If an objective is not among them.
        KeyboardInterrupt: On Ctrl-C.
    """
    trained = [copy.deepcopy(callback) for callback in job.objectives if isinstance(callback, TrainedCallback)]
    collected = _Names(trained)
    stop: BaseException | None = None
    with memory_freed(), process_kept(), quiet_lightning(), tempfile.TemporaryDirectory() as folder:
        try:
            if measure_costs(job, {}) is not None:
                return None
            module, data = build(job)
            trainer = make_trainer(
                {**job.trainer, "fast_dev_run": True, "logger": True},
                directory=Path(folder),
                max_epochs=job.max_epochs,
                before=trained,
                after=[collected],
            )
            trainer.fit(module, datamodule=data)
        except (InvalidArgumentError, MetricNotLoggedError, NotMeasurableError) as error:
            raise error.with_traceback(None) from None
        except BaseException as error:
            stop = interruption(error)
            if stop is None:
                return None
    if stop is not None:
        raise stop.with_traceback(None)
    return collected.names
