"""Where a search stands, as its display is told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from lightning_primo.results import PartlyTrained


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """Where a search stands.

    Args:
        spent: The budget used so far, in `unit`.
        total: The budget, in `unit`.
        unit: What the budget is counted in, for example ``"epochs"``.
        n_trials: Trials started so far.
        n_running: Trials being trained now.
        failures: Number of failed evaluations by status.
        front: The values of the front's members by objective, sorted by the first objective.
        hypervolume: The front's hypervolume, of the values that the search has seen.
        reference: Its reference point, as far as there is one.
        partly: The trials trained partly, which are on no front.
        n_infeasible: Full trainings that broke a bound, which are on no front either.
    """

    spent: float = 0.0
    total: float
    unit: str = "epochs"
    n_trials: int = 0
    n_running: int = 0
    failures: Mapping[str, int] = field(default_factory=dict)
    front: Sequence[Mapping[str, float]] = ()
    hypervolume: float = 0.0
    reference: Mapping[str, float] = field(default_factory=dict)
    partly: PartlyTrained = field(default_factory=PartlyTrained)
    n_infeasible: int = 0
