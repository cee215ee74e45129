"""Which of a front's members are quicker: their latencies measured in turn, on the device of the search."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lightning_primo.display.notes import note
from lightning_primo.errors import InvalidArgumentError, UnknownNameError
from lightning_primo.factory import Factory
from lightning_primo.objectives import Latency, ObjectiveCallback
from lightning_primo.results.once_more.latency_order import LatencyOrder
from lightning_primo.results.trial_result import TrialResult
from lightning_primo.training.latencies_in_turn import latencies_in_turn


@dataclass(frozen=True)
class FrontTimer:
    """Measures trials of a search in turn, in this process or on the device that the search has measured on.

    Args:
        factory: Builds the modules.
        objectives: The search's.
        seed: The search's.
    """

    factory: Factory
    objectives: Sequence[ObjectiveCallback]
    seed: int

    def __call__(self, trials: Sequence[TrialResult], name: str | None, *, seconds: float, show: bool) -> LatencyOrder:
        """The order of some trials.

        Args:
            trials: One at least.
            name: Of the latency; None for the only one.
            seconds: Of calls of each.
            show: Whether to say on standard error what is going on.

        Raises:
            InvalidArgumentError: If there is no latency, or there are several and none is named.
            DeviceMismatchError: This is not where the search has measured.
            NotDeployableError: If the runtime does not take a module any more.
            NotMeasurableError: If a module cannot be called.
        """
        latency = self._latency(name)
        found = latency.objective.name
        places = (trial.measured_on[found] for trial in trials if not trial.known and found in trial.measured_on)
        place = next(places, None)
        if show:
            note(f"measuring {found} of {len(trials)} trials in turn, each for {seconds:g} s of calls")
        measured = latencies_in_turn(
            latency,
            self.factory,
            [trial.config for trial in trials],
            place=latency.place() if place is None else place,
            seed=self.seed,
            seconds=seconds,
        )
        return LatencyOrder(latency.objective, trials, measured)

    def _latency(self, name: str | None) -> Latency:
        latencies = {c.objective.name: c for c in self.objectives if isinstance(c, Latency)}
        if not latencies:
            raise InvalidArgumentError(
                "no objective of the search is a Latency, so there is nothing to measure in turn"
            )
        if name is None and len(latencies) > 1:
            raise InvalidArgumentError(f"the search has several latencies; name one of {', '.join(latencies)}")
        chosen = next(iter(latencies)) if name is None else name
        if chosen not in latencies:
            raise UnknownNameError("latency", chosen, sorted(latencies))
        return latencies[chosen]
