"""The multiply-adds of a forward pass as an objective."""

from __future__ import annotations

from typing import Any, Literal

import torch
from typing_extensions import override

from lightning_primo.errors import InvalidArgumentError
from lightning_primo.measure.flops import Uncounted, check_uncounted, count_flops
from lightning_primo.measure.fvcore_count import fvcore_flops
from lightning_primo.measure.inputs import first_sample
from lightning_primo.objectives.base import CostCallback
from lightning_primo.objectives.cost_arguments import check_batch_size, cost_objective
from lightning_primo.problem.objective import Kind


class FLOPs(CostCallback):
    """Multiply-adds of a forward pass on one sample, logged as ``flops``. Exact; see `measure.flops` for what counts.

    Args:
        uncounted: What an operator means that does arithmetic but has no formula: ``"error"``, an
            UncountedOperatorError that names it, or ``"ignore"`` to leave it out of the count.
        counter: ``"primo"``, or ``"fvcore"`` for its count, which includes normalisation and other operators, to
            compare with published figures. It cannot use the meta device and takes longer.
        batch_size: Samples that the inputs are cut or repeated to; None for the inputs as they are, whatever they hold.
        example_inputs: See `CostCallback`.
        at_most: Configurations with more are rejected.
        at_least: Configurations with fewer are rejected.
        reference: Coordinate of the hypervolume's reference point.
        log: Whether it is searched on a logarithmic scale, on which a value of zero has no place: a trial that has one
            fails then.
        name: Name of the objective.

    Raises:
        InvalidArgumentError: For another `uncounted` or `counter`.
    """

    cuts_inputs = True

    def __init__(
        self,
        *,
        uncounted: Uncounted = "error",
        counter: Literal["primo", "fvcore"] = "primo",
        batch_size: int | None = 1,
        example_inputs: Any = None,
        at_most: float | None = None,
        at_least: float | None = None,
        reference: float | None = None,
        log: bool = True,
        name: str = "flops",
    ) -> None:
        cost = cost_objective(Kind.EXACT, name, at_most=at_most, at_least=at_least, reference=reference, log=log)
        super().__init__(cost, example_inputs=example_inputs)
        check_uncounted(uncounted)
        check_batch_size(batch_size)
        if counter not in ("primo", "fvcore"):
            raise InvalidArgumentError(f"'counter' must be 'primo' or 'fvcore', got {counter!r}")
        self.uncounted = uncounted
        self.counter = counter
        self.batch_size = batch_size

    @override
    def measure(self, module: torch.nn.Module, inputs: Any) -> float:
        count = count_flops if self.counter == "primo" else fvcore_flops
        return float(count(module, first_sample(inputs, self.batch_size), uncounted=self.uncounted))
