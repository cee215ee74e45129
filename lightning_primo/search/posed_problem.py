"""The problem that a search poses by its callbacks, with the oracles of what needs no training."""

from __future__ import annotations

from collections.abc import Sequence

from ConfigSpace import ConfigurationSpace

from lightning_primo.factory import Factory
from lightning_primo.nas.architecture_oracle import Architectures
from lightning_primo.nas.network_texts import NetworkTexts
from lightning_primo.objectives import CostCallback, ObjectiveCallback
from lightning_primo.objectives.exact_costs import ExactCosts
from lightning_primo.problem import Fidelity, Problem
from lightning_primo.problem.objective import Kind


def posed_problem(
    space: ConfigurationSpace,
    factory: Factory,
    objectives: Sequence[ObjectiveCallback],
    constraints: Sequence[ObjectiveCallback],
    fidelity: Fidelity,
) -> Problem:
    """What an algorithm is to know of a search.

    Args:
        space: The search space.
        factory: Builds modules and data, for the oracles.
        objectives: What is optimised.
        constraints: What only bounds the search.
        fidelity: The lengths of trainings.
    """
    costs = [callback for callback in (*objectives, *constraints) if isinstance(callback, CostCallback)]
    return Problem(
        space=space,
        objectives=tuple(callback.objective for callback in objectives),
        constraints=tuple(callback.objective for callback in constraints),
        min_epochs=fidelity.least,
        max_epochs=fidelity.full,
        unit=fidelity.unit,
        exact=ExactCosts(factory, [cost for cost in costs if cost.objective.kind is Kind.EXACT]),
        architecture=Architectures(factory),
        network=NetworkTexts(factory),
    )
