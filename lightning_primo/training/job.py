"""One job: all that a worker needs to train one trial from the epoch that it has reached to the one proposed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import lightning.pytorch as pl

from lightning_primo.callbacks.reproducibility import seed_globals
from lightning_primo.factory import Factory
from lightning_primo.factory.data_fraction import train_on_fraction
from lightning_primo.factory.folds import choose_fold
from lightning_primo.objectives.base import BEST, ObjectiveCallback, TrainedCallback
from lightning_primo.problem.fidelity import Fidelity
from lightning_primo.problem.objective import Objective
from lightning_primo.problem.place import Place
from lightning_primo.problem.trial import Config, Losses, configuration_key
from lightning_primo.problem.unit import EPOCHS, Unit
from lightning_primo.training.inheritance import Inheritance
from lightning_primo.training.options import TrainingOptions
from lightning_primo.training.replicates.bar import Bar

_BUILD, _DATA, _FOLDS = 11, 13, 14  # streams of random numbers, apart from those of ReproducibleEpochs and of measuring


@dataclass(frozen=True, kw_only=True)
class Job:
    """All that a worker needs to train one trial for one proposal.

    Args:
        trial_id: Number of the trial.
        config: The active hyperparameters.
        seed: The trial's own, not negative; the same in all jobs of the trial.
        epoch: Train up to this epoch, counted from 1, or to this level where trainings are counted in something else.
        max_epochs: The full budget `R`, for which schedules are made.
        directory: The trial's own; its checkpoint and logs are kept there.
        factory: Builds module and data.
        objectives: The objectives in the order of the losses.
        data_seed: The search's, for what the data module draws when it is made and set up.
        start_epoch: Epochs that were told already; the cost counts from there.
        final: Whether the trial is fully trained at `epoch`, and not to be continued.
        inheritance: From whom the initial weights come; None for the module's own.
        constraints: Quantities that only have bounds, and are no losses.
        replicate: Which of the trial's trainings to the full budget it is, from 0: `options` says how many there are.
        trial_directory: The trial's own, where the ticket and the user's wish that it end lie; None if that is
            `directory`, as with the first replicate.
        bar: What decides after each replicate whether the others are trained.
        known: Values of exact (or measured) objectives that are known already, by name.
        measured_on: Where the search's values were measured so far, by the objective's name; others are refused.
        unit: What trainings are counted in.
        options: What the user has set.
        ticket: The right to write into the directory, see `Claim`; empty where nobody else could.
        seconds_before: Those that its earlier jobs took.
        checkpoint_every_seconds: Least time between two checkpoints before the last one.
    """

    trial_id: int
    config: Config
    seed: int
    epoch: int
    max_epochs: int
    directory: Path
    factory: Factory
    objectives: tuple[ObjectiveCallback, ...]
    data_seed: int = 0
    start_epoch: int = 0
    final: bool = False
    inheritance: Inheritance | None = None
    constraints: tuple[ObjectiveCallback, ...] = ()
    replicate: int = 0
    trial_directory: Path | None = None
    bar: Bar = field(default_factory=Bar)
    known: Mapping[str, float] = field(default_factory=dict)
    measured_on: Mapping[str, Place] = field(default_factory=dict)
    unit: Unit = EPOCHS
    options: TrainingOptions = field(default_factory=TrainingOptions)
    ticket: str = ""
    seconds_before: float = 0.0
    checkpoint_every_seconds: float = 30.0

    @property
    def home(self) -> Path:
        """The trial's own directory."""
        return self.trial_directory or self.directory

    @property
    def fold(self) -> tuple[int, int] | None:
        """The fold that it is validated on, and of how many; None where the data module's own split is."""
        return self.options.fold(self.replicate)

    @property
    def seconds_left(self) -> float | None:
        """Seconds that this job may take; None for no limit."""
        timeout = self.options.trial_timeout
        return None if timeout is None else max(0.0, timeout - self.seconds_before)

    @property
    def identity(self) -> str:
        """Tells the trial from others that a directory may hold a checkpoint of."""
        length = f"max_epochs={self.max_epochs}" if self.unit == EPOCHS else f"trained={self.fidelity}"
        return f"{configuration_key(self.config)} seed={self.seed} {length}"

    @property
    def rung(self) -> int:
        """The level, where a training to it begins anew and is gone on with by none; 0 where trainings go on."""
        return 0 if self.unit.continues else self.epoch

    @property
    def fraction(self) -> Fraction:
        """Of the training data, that it is trained on."""
        return Fraction(1) if self.unit.continues else self.epoch * Fraction(self.unit.grain)

    @property
    def fidelity(self) -> Fidelity:
        """The lengths up to the full one, in the unit of trainings."""
        return Fidelity(self.unit, 1, self.max_epochs)

    @property
    def trained(self) -> tuple[TrainedCallback, ...]:
        """The objectives and constraints that are read after every epoch."""
        return tuple(c for c in (*self.objectives, *self.constraints) if isinstance(c, TrainedCallback))

    @property
    def trained_constraints(self) -> tuple[str, ...]:
        """The names of those that are constraints alone."""
        return tuple(c.objective.name for c in self.constraints if isinstance(c, TrainedCallback))

    @property
    def best_by(self) -> Objective | None:
        """The metric whose best epoch counts; None where the last epoch does."""
        return next((c.objective for c in self.trained if c.at == BEST), None)

    def losses(self, values: Mapping[str, float]) -> Losses:
        """Values by name as losses in the objectives' order; NaN for those that are missing or not finite."""
        objectives = [callback.objective for callback in self.objectives]
        numbers = [values.get(objective.name, math.nan) for objective in objectives]
        return tuple(o.loss(n) if math.isfinite(n) else math.nan for o, n in zip(objectives, numbers, strict=True))


def build(job: Job) -> tuple[pl.LightningModule, pl.LightningDataModule | None]:
    """The module of `job` with its initial weights, and its data, about to be set up."""
    seed_globals(job.seed, _BUILD)
    module = job.factory.module(job.config)
    data = build_data(job.factory, job.config, job.data_seed, job.fold)
    train_on_fraction(module, data, job.fraction, seed=job.data_seed)
    return module, data


def build_data(
    factory: Factory, config: Config, seed: int, fold: tuple[int, int] | None = None
) -> pl.LightningDataModule | None:
    """The data of a configuration, with the global generators seeded for what it draws there and when it is set up.

    All trials of a search have the same seed here: a split that is drawn in `setup` is then the same for all, and the
    test data are not among those that any of them was trained on.

    Args:
        factory: Builds the data.
        config: The trial's.
        seed: The search's.
        fold: Which fold to validate on, from 0, and of how many; None for the data module's own split.

    Raises:
        InvalidArgumentError: If the data module does not know folds.
    """
    seed_globals(seed, _DATA)
    data = factory.data(config)
    if fold is not None:
        seed_globals(seed, _FOLDS)
        choose_fold(data, *fold)
    return data
