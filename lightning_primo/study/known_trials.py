"""Results that exist already, as trials of a problem: what is told of them, and when they are none of it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from lightning_primo.problem import Problem
from lightning_primo.problem.objective import Kind
from lightning_primo.problem.place import Place, place_text, same_place
from lightning_primo.problem.trial import Config, Evaluation

PlaceHere = Callable[[str, Place], "Place | None"]
"""Where a search would measure an objective, by its name, that was measured at a place; None where nobody knows."""

_SAME = 1e-9  # relative, of two values of one exact cost


@dataclass(frozen=True, kw_only=True)
class KnownTrial:
    """One configuration and what is known to come of it.

    Attributes:
        config: The active hyperparameters.
        curve: The objectives' values by name, in the user's units, after each epoch that is known; the last one's may
            have values of constraints too. Exact ones may be left out.
        finished: Whether the training ended by itself at the last of these epochs, so that its result is final.
        deviations: As of an `Evaluation`.
        measured_on: As of an `Evaluation`.
    """

    config: Config
    curve: Mapping[int, Mapping[str, float]]
    finished: bool = False
    deviations: Mapping[str, float] = field(default_factory=dict)
    measured_on: Mapping[str, Place] = field(default_factory=dict)

    @property
    def epoch(self) -> int:
        """The last epoch that is known."""
        return max(self.curve)


@dataclass(frozen=True, kw_only=True)
class KnownSource:
    """Where known results come from, and what of it is none of this problem.

    Attributes:
        name: For people: a path, or the argument.
        trials: What may be taken over.
        left_out: Why trials are left out, and how many.
        defaults: Hyperparameters that were not searched there, with the defaults that stand for what was trained.
        remark: Another sentence to say; may be empty.
    """

    name: str
    trials: tuple[KnownTrial, ...]
    left_out: Mapping[str, int] = field(default_factory=dict)
    defaults: Mapping[str, object] = field(default_factory=dict)
    remark: str = ""

    def account(self, *, n_taken: int, left_out: Mapping[str, int]) -> str:
        """What was taken over and what not, in a sentence or three.

        Args:
            n_taken: Of `trials`.
            left_out: Why others of `trials` were not.
        """
        reasons = Counter(self.left_out) + Counter(left_out)
        n = n_taken + sum(reasons.values())
        text = f"{self.name}: {n_taken} of {n} {'result is' if n == 1 else 'results are'} known here and cost nothing"
        if reasons:
            text += "; left out: " + ", ".join(f"{number} {reason}" for reason, number in reasons.items())
        if n_taken and self.defaults:
            values = ", ".join(f"{name} = {value!r}" for name, value in self.defaults.items())
            text += f". Not searched there, and taken for what was trained with: {values}"
        return f"{text}. {self.remark}" if self.remark else text


def trained_names(problem: Problem) -> list[str]:
    """The objectives that a known result must have: those that no oracle gives."""
    return [objective.name for objective in problem.objectives if objective.kind is not Kind.EXACT]


def measured_elsewhere(trial: KnownTrial, settled: Mapping[str, Place], place_here: PlaceHere) -> str:
    """Which value was measured where those of the search are not, so that they cannot be compared; empty for none.

    Args:
        trial: The result.
        settled: Where the search's values come from so far, by the objective's name.
        place_here: Where it would measure others.
    """
    for name, place in trial.measured_on.items():
        here = settled[name] if name in settled else place_here(name, place)
        if here is not None and not same_place(here, place):
            return f"whose {name!r} was measured on [{place_text(place)}] and not on [{place_text(here)}] as here"
    return ""


def evaluation_of(trial: KnownTrial, problem: Problem, trial_id: int) -> Evaluation | str:
    """What is told of a known result; a text if it is none of the problem, which says why.

    Exact objectives are computed, whatever was known of them.

    Args:
        trial: The result.
        problem: What is searched.
        trial_id: The number that it gets.
    """
    exact = {**problem.exact(trial.config)}
    last = trial.curve[trial.epoch]
    names = {objective.name for objective in problem.objectives}
    measurements = {}
    for objective in (*problem.objectives, *problem.constraints):
        name, is_exact = objective.name, objective.kind is Kind.EXACT
        value = exact.get(name, last.get(name, math.nan)) if is_exact else last.get(name, math.nan)
        if not math.isfinite(value):
            return f"of which {name!r} is not known"
        if is_exact and name in last and not math.isclose(value, last[name], rel_tol=_SAME, abs_tol=1e-12):
            return (
                f"whose {name!r} is another one now (first {last[name]:.10g}, now {value:.10g}): is the code the same?"
            )
        rejects = is_exact or (name not in names and objective.kind is not Kind.TRAINED)
        if rejects and objective.violation(value) is not None:
            return f"that break the bound of {name!r}"
        if name in names and not objective.has_place_for(value):
            return f"whose {name!r} has no logarithm"
        exact[name] = value
        if name not in names:
            measurements[name] = value
    fixed = {o.name: exact[o.name] for o in problem.objectives if o.kind is Kind.EXACT}
    curve = {
        epoch: tuple(o.loss({**values, **fixed}[o.name]) for o in problem.objectives)
        for epoch, values in sorted(trial.curve.items())
        if all(o.has_place_for({**values, **fixed}.get(o.name, math.nan)) for o in problem.objectives)
    }
    return Evaluation(
        trial_id=trial_id,
        epoch=trial.epoch,
        losses=curve[trial.epoch],
        curve=curve,
        measurements=measurements,
        constraints={
            epoch: {c.name: trial.curve[epoch][c.name] for c in problem.constraints if c.name in trial.curve[epoch]}
            for epoch in curve
            if any(c.kind is Kind.TRAINED for c in problem.constraints)
        },
        deviations=trial.deviations,
        measured_on=trial.measured_on,
        finished=trial.finished and trial.epoch < problem.max_epochs,
    )
