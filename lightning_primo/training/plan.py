"""How the proposals of one search become jobs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from lightning_primo.factory import Factory
from lightning_primo.layout import trial_directory
from lightning_primo.objectives.base import ObjectiveCallback, TrainedCallback
from lightning_primo.problem import Problem
from lightning_primo.problem.trial import Config, Evaluation, Proposal, Status, Trial
from lightning_primo.training.inheritance import Inheritance, Morphism, TakeOver
from lightning_primo.training.job import Job
from lightning_primo.training.lengths.by_unit import length_in
from lightning_primo.training.options import TrainingOptions
from lightning_primo.training.parallelism import devices_per_trial, processes_per_trial
from lightning_primo.training.trainer import trainer_arguments


@dataclass(frozen=True, kw_only=True)
class TrainingPlan:
    """All that the jobs of a search have in common.

    Args:
        factory: Builds module and data.
        objectives: What is optimised.
        constraints: What only bounds the search.
        problem: What is searched.
        directory: The search's directory.
        seed: The search's seed; each trial's own follows from it and the trial's number.
        options: What the user has set of the trainings.
    """

    factory: Factory
    objectives: tuple[ObjectiveCallback, ...]
    constraints: tuple[ObjectiveCallback, ...]
    problem: Problem
    directory: Path
    seed: int
    options: TrainingOptions = field(default_factory=TrainingOptions)

    @property
    def trained(self) -> tuple[TrainedCallback, ...]:
        """The objectives and constraints that are trained."""
        return tuple(c for c in (*self.objectives, *self.constraints) if isinstance(c, TrainedCallback))

    def job(self, proposal: Proposal, line: Sequence[Trial] = (), *, seconds: float = 0.0) -> Job:
        """What a worker needs to carry out `proposal`.

        Args:
            proposal: What to train.
            line: The trials whose trainings it goes on with, from the first one on, itself left out; if it has its
                parent's weights alone, just that.
            seconds: What the trial's earlier trainings took.

        Raises:
            InvalidArgumentError: If the Trainer does not validate after the proposed epoch.
        """
        if isinstance(self.options.trainer, Mapping):
            length_in(self.problem.unit).check_compared(self.options.trainer, proposal.epoch)
        exact = self.problem.exact(proposal.config)
        # Schedules are made for the whole of a training, wherever it ends.
        max_epochs = proposal.epoch if proposal.final else self.problem.max_epochs
        return Job(
            trial_id=proposal.trial_id,
            config=proposal.config,
            seed=self._seed(proposal, line),
            epoch=proposal.epoch,
            data_seed=self.seed,
            start_epoch=proposal.start_epoch,
            max_epochs=max_epochs,
            unit=self.problem.unit,
            final=proposal.final,
            inheritance=self._inheritance(proposal, line),
            directory=trial_directory(self.directory, proposal.trial_id),
            factory=self.factory,
            objectives=self.objectives,
            constraints=self.constraints,
            known={name: value for name, value in exact.items() if math.isfinite(value)},
            options=self.options,
            seconds_before=seconds,
        )

    def devices(self, config: Config) -> int:
        """On how many devices a configuration is trained."""
        arguments = trainer_arguments(self.options.trainer, config)
        return max(1, devices_per_trial(arguments) or processes_per_trial(arguments))

    def _seed(self, proposal: Proposal, line: Sequence[Trial]) -> int:
        """The trial's own, or that of the training that it goes on with: the data then come as they would have."""
        begun_by = line[0].id if line and proposal.start_epoch else proposal.trial_id
        return trial_seed(self.seed, begun_by)

    def _inheritance(self, proposal: Proposal, line: Sequence[Trial]) -> Inheritance | None:
        if not proposal.inherits or not line:
            return None
        parent = line[-1]
        directory = trial_directory(self.directory, parent.id)
        if proposal.start_epoch:
            return TakeOver(config=parent.config, directory=directory, epoch=proposal.start_epoch)
        return Morphism(config=parent.config, directory=directory, operation=proposal.operation)

    def rejection(self, proposal: Proposal) -> Evaluation | None:
        """The evaluation of a proposal that breaks a bound on an exact quantity; None if it breaks none."""
        reason = self.problem.violation(proposal.config)
        if reason is None:
            return None
        names = {objective.name for objective in self.problem.objectives}
        exact = self.problem.exact(proposal.config)
        return Evaluation(
            trial_id=proposal.trial_id,
            epoch=proposal.start_epoch,
            losses=self.problem.known(proposal.config),
            status=Status.REJECTED,
            reason=reason,
            measurements={name: value for name, value in exact.items() if name not in names},
        )


def trial_seed(seed: int, trial_id: int) -> int:
    """The seed of a trial: 32 bits that follow from the search's seed and the trial's number."""
    return int(np.random.SeedSequence([seed, trial_id]).generate_state(1)[0])
