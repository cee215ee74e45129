"""All that an algorithm may know of a search: the space, the objectives, the fidelity, and what is exact beforehand."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from lightning_primo.errors import InvalidArgumentError
from lightning_primo.problem.architecture import ArchitectureOracle, NetworkOracle
from lightning_primo.problem.fidelity import Fidelity
from lightning_primo.problem.objective import Kind, Objective
from lightning_primo.problem.trial import Config, Evaluation, Losses, Proposal
from lightning_primo.problem.unit import EPOCHS, Unit

if TYPE_CHECKING:
    from ConfigSpace import ConfigurationSpace  # takes a second to import

ExactOracle = Callable[[Config], Mapping[str, float]]
"""The values of the exact objectives and constraints of a configuration, by name; NaN where they can't be computed."""


def _no_exact(config: Config) -> Mapping[str, float]:
    return {}


@dataclass(frozen=True, kw_only=True)
class Problem:
    """What is searched.

    Args:
        space: The search space.
        objectives: What is optimised; their order is the order of every loss vector.
        min_epochs: The lowest fidelity: the shortest training whose result is worth looking at, in levels of the
            fidelity: epochs, so many steps, or fractions of the data (see `Fidelity`).
        max_epochs: The full budget `R`: the longest training, at which the Pareto front is judged.
        unit: What the lengths of trainings are counted in: ``Epochs()``, ``Steps(500)``, ``DataFractions(...)``.
        constraints: Quantities that only bound the search; each has a bound and is not optimised.
        exact: The oracle of the exact objectives and constraints; it may be slow (milliseconds) but caches.
        architecture: The oracle of the networks' architectures, for algorithms that grow and prune; None where there
            are no networks.
        replicates: How often a full training is carried out, with other seeds or on other folds; shorter ones are
            carried out once.
        network: The oracle of what tells a network from another, for algorithms that change how it is trained while it
            is; None where there are no networks.

    Raises:
        InvalidArgumentError: For no objective, two of one name, an epoch range that is not `1 <= min <= max`, or a
            constraint without a bound.
    """

    space: ConfigurationSpace
    objectives: tuple[Objective, ...]
    min_epochs: int = 1
    max_epochs: int
    unit: Unit = EPOCHS
    constraints: tuple[Objective, ...] = ()
    replicates: int = 1
    exact: ExactOracle = field(default=_no_exact, repr=False)
    architecture: ArchitectureOracle | None = field(default=None, repr=False)
    network: NetworkOracle | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if not self.objectives:
            raise InvalidArgumentError("'objectives' is empty; give at least one, for example Metric('val_loss')")
        names = [objective.name for objective in (*self.objectives, *self.constraints)]
        for name in names:
            if names.count(name) > 1:
                raise InvalidArgumentError(
                    f"'objectives' and 'constraints' hold the name {name!r} {names.count(name)} times; an objective's "
                    "own bound (at_most, at_least) constrains it already"
                )
        Fidelity(self.unit, self.min_epochs, self.max_epochs)
        for constraint in self.constraints:
            if not constraint.is_bounded:
                raise InvalidArgumentError(
                    f"'constraints' holds {constraint.name!r} without a bound; give it at_most or at_least"
                )

    @property
    def fidelity(self) -> Fidelity:
        """The lengths that trainings may have."""
        return Fidelity(self.unit, self.min_epochs, self.max_epochs)

    @property
    def exact_mask(self) -> npt.NDArray[np.bool_]:
        """Which objectives are exact: `m` booleans."""
        return np.array([objective.kind is Kind.EXACT for objective in self.objectives], dtype=np.bool_)

    def known(self, config: Config) -> Losses:
        """The losses that are known before training: one per objective, NaN where it is not exact.

        A value of zero or below is NaN too where it has no logarithm and is to have one, as its training will fail.
        """
        values = self.exact(config) if self.exact_mask.any() else {}
        exact = (values.get(o.name, math.nan) if o.kind is Kind.EXACT else math.nan for o in self.objectives)
        return tuple(
            objective.loss(value) if objective.has_place_for(value) else math.nan
            for objective, value in zip(self.objectives, exact, strict=True)
        )

    @property
    def bounded(self) -> tuple[Objective, ...]:
        """The exact objectives and constraints that have a bound."""
        return tuple(
            objective
            for objective in (*self.objectives, *self.constraints)
            if objective.kind is Kind.EXACT and objective.is_bounded
        )

    @cached_property
    def limits(self) -> tuple[Objective, ...]:
        """The trained objectives and constraints that have a bound: only a full training says whether it is kept."""
        return tuple(
            objective
            for objective in (*self.objectives, *self.constraints)
            if objective.kind is Kind.TRAINED and objective.is_bounded
        )

    def limited(self, evaluation: Evaluation, epoch: int | None = None) -> Losses:
        """The losses of the `limits`, `c`, as an evaluation tells them; NaN for unknown ones.

        Args:
            evaluation: What was told.
            epoch: One that its curve has. Default: its own.
        """
        losses = evaluation.losses if epoch is None else evaluation.curve[epoch]
        values = evaluation.measurements if epoch is None else evaluation.constraints.get(epoch, {})
        return tuple(
            limit.loss(values.get(limit.name, math.nan)) if column is None else losses[column]
            for limit, column in zip(self.limits, self._limited_objectives, strict=True)
        )

    @cached_property
    def _limited_objectives(self) -> tuple[int | None, ...]:
        """Which objective each of the limits is; None for one that is a constraint alone."""
        columns = {objective.name: column for column, objective in enumerate(self.objectives)}
        return tuple(columns.get(limit.name) for limit in self.limits)

    def violation(self, config: Config) -> str | None:
        """Why `config` breaks a bound on an exact quantity, or None when it keeps them all."""
        bounded = self.bounded
        if not bounded:
            return None
        values = self.exact(config)
        for objective in bounded:
            broken = objective.violation(values.get(objective.name, math.nan))
            if broken:
                return broken
        return None

    def broken_bound(self, losses: Losses) -> str | None:
        """Why `losses` break the bound of an objective, or None when they keep them all.

        What broke one before its training was not trained; this is for what is trained or was measured again since.
        """
        violations = (o.violation(o.value(loss)) for o, loss in zip(self.objectives, losses, strict=True))
        return next(filter(None, violations), None)

    def infeasibility(self, evaluation: Evaluation) -> str | None:
        """Which bound a success at the full budget breaks; None if it keeps them all, or is no such success."""
        if not evaluation.counts_at(self.max_epochs):
            return None
        broken = self.broken_bound(evaluation.losses)
        limits = zip(self.limits, self.limited(evaluation), strict=True)
        return broken or next(filter(None, (limit.violation(limit.value(loss)) for limit, loss in limits)), None)

    def counts(self, evaluation: Evaluation) -> bool:
        """Whether `evaluation` is a success at the full budget that keeps all bounds: feasible, in the field's word."""
        if evaluation.given_up:
            return False
        return evaluation.counts_at(self.max_epochs) and self.infeasibility(evaluation) is None

    def cost(self, proposal: Proposal) -> float:
        """What a proposal costs in epochs of training, if all its replicates are trained and none ends by itself."""
        is_full = proposal.final or proposal.epoch >= self.max_epochs
        return proposal.epochs + (self.replicates - 1) * proposal.epoch * is_full

    def deviations(self, evaluation: Evaluation) -> Losses:
        """The standard deviations of an evaluation's losses, in the objectives' order; 0 where none was told."""
        return tuple(evaluation.deviations.get(objective.name, 0.0) for objective in self.objectives)

    @property
    def scaled_reference(self) -> npt.NDArray[np.float64]:
        """The objectives' reference points as scaled losses, `m`; NaN for one that has none."""
        given = (objective.reference_loss for objective in self.objectives)
        losses = tuple(math.nan if loss is None else loss for loss in given)
        reference: npt.NDArray[np.float64] = self.scaled_losses([losses])[0]
        return reference

    def scaled_losses(self, rows: Sequence[Losses | None]) -> npt.NDArray[np.float64]:
        """Loss vectors as scaled losses, `n x m`; `n` may be 0, and None (a failed trial) is a row of NaN."""
        m = len(self.objectives)
        losses = np.array([(math.nan,) * m if row is None else row for row in rows], dtype=np.float64)
        return self.scaled(losses.reshape(len(rows), m))

    def scaled(self, losses: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Losses, `n x m`, with the logarithmic objectives on their logarithmic scale."""
        columns = [objective.scaled(losses[:, j]) for j, objective in enumerate(self.objectives)]
        return np.stack(columns, axis=1) if len(losses) else np.empty((0, len(self.objectives)))
