"""The number of parameters as an objective."""

from __future__ import annotations

from typing import Any

import torch
from typing_extensions import override

from lightning_primo.checks import check_bool
from lightning_primo.measure.parameters import parameter_count
from lightning_primo.objectives.base import CostCallback
from lightning_primo.objectives.cost_arguments import cost_objective
from lightning_primo.problem.objective import Kind


class ParameterCount(CostCallback):
    """The number of parameters, logged as ``parameters``. Exact.

    In a search it is that of the module as it is built, before anything is trained. What its constructor, `setup` or
    `configure_model` has frozen counts as frozen, also where the training unfreezes it later: give
    ``trainable_only=False`` there, for the size of the network that comes of it. What a callback freezes when the
    training begins, such as `BaseFinetuning`, counts as trainable.

    Args:
        trainable_only: Leave out parameters that require no gradient as the module is built.
        at_most: Configurations with more are rejected.
        at_least: Configurations with fewer are rejected.
        reference: Coordinate of the hypervolume's reference point.
        log: Whether it is searched on a logarithmic scale, on which a value of zero has no place: a trial that has one
            fails then.
        name: Name of the objective.
    """

    def __init__(
        self,
        *,
        trainable_only: bool = True,
        at_most: float | None = None,
        at_least: float | None = None,
        reference: float | None = None,
        log: bool = True,
        name: str = "parameters",
    ) -> None:
        super().__init__(
            cost_objective(Kind.EXACT, name, at_most=at_most, at_least=at_least, reference=reference, log=log)
        )
        self.trainable_only = check_bool("trainable_only", trainable_only)

    @property
    @override
    def needs_inputs(self) -> bool:
        return False

    @override
    def measure(self, module: torch.nn.Module, inputs: Any = None) -> float:
        return float(parameter_count(module, trainable_only=self.trainable_only))
