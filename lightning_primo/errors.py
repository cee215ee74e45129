"""Every exception a user can meet.

Each message says what is wrong (the argument in quotes), what was got, what was expected, and the remedy or the valid
choices. All derive from `PrimoError`, so one `except` clause catches what this package raises on purpose.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any


class PrimoError(Exception):
    """Base class of the errors raised on purpose by lightning_primo.

    They reach other processes whatever their constructors take, so that a worker's error arrives as itself.
    """

    def __reduce__(self) -> tuple[Any, ...]:
        return _restored, (type(self), self.args, self.__dict__)


class InvalidArgumentError(PrimoError, ValueError):
    """An argument is out of its range, of the wrong type, or names something that does not exist."""


class UnknownNameError(InvalidArgumentError):
    """A name was given that is not among the valid ones.

    Args:
        what: What the name stands for, for example ``"objective in 'priors'"``.
        name: The name that was given.
        valid: The names that exist.
    """

    def __init__(self, what: str, name: object, valid: Iterable[object]) -> None:
        choices = ", ".join(repr(choice) for choice in valid) or "none"
        super().__init__(f"unknown {what}: {name!r}; valid choices: {choices}")


class MetricNotLoggedError(PrimoError):
    """The LightningModule never logged the metric that is an objective.

    Args:
        metric: The missing metric.
        logged: The metrics that were logged.
        distilled: Whether a distillation took the place of `training_step`.
        step_only: Whether it was logged, but for single steps of the validation alone.
        last_batch: Whether it was logged, but for single steps of the training alone.
        earlier: Whether it was logged, but in earlier epochs alone.
        not_in_validation: Whether the training is one by steps, which is judged where it validates.
    """

    def __init__(
        self,
        metric: str,
        logged: Iterable[str],
        *,
        distilled: bool = False,
        step_only: bool = False,
        last_batch: bool = False,
        earlier: bool = False,
        not_in_validation: bool = False,
    ) -> None:
        self.metric, self.logged = metric, tuple(sorted(logged))
        self.logged_otherwise = step_only or last_batch or earlier
        names = ", ".join(map(repr, self.logged)) or "none"
        step = "training_step"
        if distilled:
            step = "distillation_step(batch, batch_idx, teacher), which takes the place of training_step in this trial"
        remedy = f"Call self.log({metric!r}, value) in {step}, validation_step or at their epoch's end"
        if step_only:
            remedy = "It was logged for steps of the validation alone: log it with on_epoch=True"
        if earlier:
            remedy = "It was logged in an earlier epoch: log it in every epoch, or in every one that validates"
        if last_batch:
            remedy = (
                "It was logged for steps of the training alone, so that only the value of the last batch is known: log "
                "it with on_epoch=True, after which the epoch's mean has this name"
                f"{', without _step at its end' if metric.endswith('_step') else ''}"
            )
        if any(name.startswith(f"{metric}/dataloader_idx_") for name in self.logged):
            remedy = (
                "There are several validation loaders, and Lightning puts each one's number behind the name: log what "
                "is to count of all of them in on_validation_epoch_end"
            )
        elif not_in_validation:
            remedy = (
                f"Call self.log({metric!r}, value) in validation_step: a training by steps is judged where it validates"
            )
        when = "in the validation" if not_in_validation else "by the end of the epoch"
        super().__init__(
            f"the metric {metric!r} is an objective, but the LightningModule did not log it {when}; "
            f"logged: {names}. {remedy}, or name one of the logged metrics"
        )


class NonPositiveValueError(PrimoError):
    """An objective that is searched on a logarithmic scale is zero or negative."""


class NonFiniteLossError(PrimoError):
    """The training loss became NaN or infinite."""


class MicroBatchError(PrimoError):
    """Batches cannot be divided into as many micro-batches."""


class TakeOverError(PrimoError):
    """A training cannot be gone on with from a checkpoint by what the configuration makes now."""


class TrialTimeoutError(PrimoError):
    """A training has taken longer than it may."""


class TrialStoppedError(PrimoError):
    """The user has ended a training."""


class SupersededError(PrimoError):
    """A training has ended because the same trial is trained elsewhere, or because its search has ended."""


class WorkerDiedError(PrimoError):
    """The process that a job ran in has died, and so has the one in which it was tried again."""


class WorkerHungError(PrimoError):
    """A job has not ended in its time, not even by itself, so that its process was killed."""


class CheckpointError(PrimoError):
    """A trial's checkpoint cannot be loaded again."""


class CheckpointWarning(UserWarning):
    """A trial's checkpoint is missing or unreadable, so that the trial is trained from scratch, or holds not all.

    What it does not hold, such as metrics of a trial on several devices, begins anew where the trial goes on.
    """


class RepeatedDataWarning(UserWarning):
    """A training that goes on inside an epoch loads data again that it has trained on already, and leaves them out."""


class ValidationDataWarning(UserWarning):
    """A training that goes on validates on other data than before, so that its values cannot be compared."""


class OnnxSkippedWarning(UserWarning):
    """A trial is exported without an ONNX file, as its module cannot be converted."""


class StorageError(PrimoError):
    """A file cannot be written, whatever is trained: the disk is full, a quota used up, the file system read-only.

    Where you ask for the file, as for a report, also because you may not write there.
    """


class TrialFailedError(PrimoError):
    """Trials fail one like the other, or all break a bound, so that going on would only waste the budget."""


class ExecutorError(PrimoError):
    """The executor that was given takes no more jobs, or has cancelled one."""


class NotMeasurableError(PrimoError):
    """A cost of the module cannot be measured: it cannot be called with these inputs, on this device, or yet."""


class NoEnergyMeterError(NotMeasurableError):
    """The device has no counter of the energy that it takes, or none that you may read."""


class NotDeployableError(PrimoError):
    """A runtime cannot take a module: it cannot be exported, loaded, or computes something else there."""


class RuntimeMissingError(NotMeasurableError):
    """What a runtime needs is not on this machine: a package, a compiler, a device."""


class UncountedOperatorError(NotMeasurableError):
    """Operators do arithmetic that the counter of FLOPs has no formula for, so that their number is not known.

    Args:
        operators: Their names, such as ``"aten._fft_r2c"``.
        module: Name of the class whose forward uses them.
        counter: Who counts.
    """

    def __init__(self, operators: Sequence[str], module: str, counter: str = "lightning_primo") -> None:
        self.operators = tuple(operators)
        self.module = module
        self.counter = counter
        remedy = (
            "give a formula by torch.utils.flop_counter.register_flop_formula (two operations per multiply-add), or "
            if counter == "lightning_primo"
            else ""
        )
        super().__init__(
            f"the FLOPs of {module} are not known, {counter} has no formula for {', '.join(operators)}: {remedy}"
            "leave them out of the count by uncounted='ignore'"
        )


class DeviceMismatchError(PrimoError):
    """A value would be measured on another device than those that it is to be compared with."""


class DeviceAwayError(PrimoError):
    """A device that measures for a search has not answered for longer than it may."""


class DeviceRefusedError(PrimoError):
    """A device does not measure for a search, whatever it is sent: a wrong token, another version, no such runtime."""


class MeasurementFailedError(PrimoError):
    """A device could not measure a network: it is too large for it, takes too long, or its runtime does not take it."""


class UnquietMeasurementWarning(UserWarning):
    """A latency was measured while something else of this user trained or measured on the same machine."""


class UnsteadyMeasurementWarning(UserWarning):
    """A latency or energy varied by more than half of itself, or the device was slowed by as much, for all the time."""


class SlowMeasurementWarning(UserWarning):
    """A module must be built on the CPU to know its exact objectives, which takes longer than on the meta device."""


class UnbuildableWarning(UserWarning):
    """Some configurations of the space have modules that cannot be built, so that their trials will fail."""


class UnreadHyperparameterWarning(UserWarning):
    """Nothing reads a hyperparameter of the space, so that trials differ in it without effect."""


class LateAveragingWarning(UserWarning):
    """A callback averages weights only after the last validation, so that trials are compared without."""


class ScheduleLengthWarning(UserWarning):
    """A learning-rate schedule is made for another length than a full training has."""


class UnsynchronizedMetricWarning(UserWarning):
    """An objective differs from process to process of a trial, as its metric was logged without ``sync_dist=True``."""


class StoreError(PrimoError):
    """The search's directory cannot be used: in use, of another search, damaged, or not writable."""


class DirectoryInUseError(StoreError):
    """Another process runs a search in this directory."""


class NotSearchingError(StoreError):
    """What is asked of a running search is asked of one that nobody carries out now."""


class SearchMismatchError(StoreError):
    """The directory holds a search over another space, with other objectives, or with another algorithm."""


class CorruptStoreError(StoreError):
    """The search's file is damaged, or was written by another version."""


class ProjectError(PrimoError):
    """The code of a project that the command line searches over raised an exception."""


def first_line(text: str) -> str:
    """The first line that is not blank; empty if there is none."""
    return text.strip().split("\n", 1)[0]


def _restored(kind: type[PrimoError], args: tuple[Any, ...], state: dict[str, Any]) -> PrimoError:
    error = kind.__new__(kind, *args)
    error.__dict__.update(state)
    return error
