"""In which order the front's members are by a latency, measured in turn, and of which pairs that is not known."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from lightning_primo.checks import printable
from lightning_primo.problem.objective import Objective
from lightning_primo.results.trial_result import TrialResult
from lightning_primo.results.units import unit_of
from lightning_primo.timing import Ratio, RoundRobin

if TYPE_CHECKING:
    import pandas as pd


class LatencyOrder:
    """The latencies of some trials that were measured in turn.

    Which trial is quicker than another, and by how much, the ratios say, which are known better than the medians.

    Args:
        objective: The latency.
        trials: Those that were measured, in the order of the columns of `measured`.
        measured: What was found.

    Attributes:
        objective: As given.
        trials: The trials, the quickest first.
    """

    def __init__(self, objective: Objective, trials: Sequence[TrialResult], measured: RoundRobin) -> None:
        self.objective = objective
        self.trials = tuple(trials[place] for place in measured.order)
        self._measured = measured
        self._places = {trial.id: place for place, trial in enumerate(trials)}

    def latency(self, trial: TrialResult | int) -> float:
        """The median of a trial, in seconds of a call.

        Raises:
            KeyError: If it was not measured.
        """
        return self._measured.medians[self._place(trial)]

    def deviation(self, trial: TrialResult | int) -> float:
        """The standard deviation of that median, in seconds: over the rounds, and less than between two such runs.

        Raises:
            KeyError: If it was not measured.
        """
        return self._measured.errors[self._place(trial)]

    def ratio(self, one: TrialResult | int, other: TrialResult | int) -> Ratio:
        """How many times as long one takes as another, with a confidence interval; those of all pairs hold at once.

        Raises:
            KeyError: If one was not measured.
        """
        return self._measured.ratio(self._place(one), self._place(other))

    @cached_property
    def undecided(self) -> tuple[tuple[TrialResult, TrialResult], ...]:
        """The pairs of which it is not known which one is quicker; the one that seems so comes first."""
        trials = {place: trial for trial in self.trials for place in [self._places[trial.id]]}
        return tuple((trials[one], trials[other]) for one, other in self._measured.undecided)

    def to_pandas(self) -> pd.DataFrame:
        """One row per trial, the quickest first.

        Returns:
            Columns: id, the latency by its name, ``NAME_deviation``, ``NAME_searched``, which the search found; ratio
            to the quickest with ``ratio_low`` and ``ratio_high``; undecided, the ids of those that are not told apart.
        """
        import pandas as pd

        name = self.objective.name
        rows: list[dict[str, Any]] = []
        for trial in self.trials:
            ratio = self.ratio(trial, self.trials[0]) if trial is not self.trials[0] else Ratio(value=1, low=1, high=1)
            rows.append(
                {
                    "id": trial.id,
                    name: self.latency(trial),
                    f"{name}_deviation": self.deviation(trial),
                    f"{name}_searched": trial.values.get(name, math.nan),
                    "ratio": ratio.value,
                    "ratio_low": ratio.low,
                    "ratio_high": ratio.high,
                    "undecided": self.like(trial),
                }
            )
        return pd.DataFrame(rows)

    def like(self, trial: TrialResult | int) -> tuple[int, ...]:
        """The ids of the trials that are not told apart from this one, in their order."""
        number = trial if isinstance(trial, int) else trial.id
        pairs = [(one.id, other.id) for one, other in self.undecided]
        near = {other if one == number else one for one, other in pairs if number in (one, other)}
        return tuple(other.id for other in self.trials if other.id in near)

    def __repr__(self) -> str:
        unit = unit_of(self.objective, [self.latency(trial) for trial in self.trials])
        lines = []
        for number, trial in enumerate(self.trials):
            told = f"{unit.text(self.latency(trial))} ± {unit.text(self.deviation(trial))}"
            searched = trial.values.get(self.objective.name, math.nan)
            before = f" (the search: {unit.text(searched)})" if math.isfinite(searched) else ""
            line = f"trial {trial.label}: {told}{before}"
            if number:
                ratio = self.ratio(trial, self.trials[0])
                line += f", {ratio.value:.3f} times the quickest ({ratio.low:.3f} to {ratio.high:.3f})"
            lines.append(line)
        pairs = ", ".join(f"{one.id} and {other.id}" for one, other in self.undecided)
        if len(self.trials) > 1:
            lines.append(f"not told apart: {pairs}" if pairs else "all are told apart")
        return "\n".join([f"{printable(self.objective.name)}, measured in turn", *lines])

    def _place(self, trial: TrialResult | int) -> int:
        return self._places[trial if isinstance(trial, int) else trial.id]
