"""What the priors of a search did, read from the description of its algorithm, as values and in words."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from lightning_primo.analysis.prior_effect import PriorEffect, prior_effect
from lightning_primo.errors import InvalidArgumentError
from lightning_primo.problem import BY_EPOCHS, Fidelity, Problem
from lightning_primo.problem.trial import Trial
from lightning_primo.space import Encoding, Prior

PRIORS_NOTE = (
    "A prior helped if its objective is better where the prior is denser, and hurt if it is worse there, by the ranks "
    "of all trials at the shortest training. What is less sure than 97.5 %, or what full trainings contradict, is "
    "undecided."
)


def stored_priors(description: Mapping[str, str]) -> dict[str, Prior]:
    """The priors per objective of the algorithm that a search was made with, or of a part of it; none without any.

    Args:
        description: What the search is, as text by key.
    """
    return _priors(json.loads(description.get("algorithm", "null")))


def _priors(value: Any) -> dict[str, Prior]:
    if not isinstance(value, Mapping):
        return {}
    stored = value.get("priors")
    if isinstance(stored, Mapping) and stored:
        return {
            name: Prior(prior["center"], confidence=prior["confidence"])
            for name, prior in stored.items()
            if isinstance(prior, Mapping) and prior.get("class") == "Prior"
        }
    return next((found for part in value.values() if (found := _priors(part))), {})


def prior_effects(
    problem: Problem,
    trials: Sequence[Trial],
    front: Collection[int],
    encoding: Encoding,
    description: Mapping[str, str],
) -> list[dict[str, Any]]:
    """For each objective that has a prior, what it did.

    Args:
        problem: What was searched.
        trials: All of them.
        front: The ids of those on the front.
        encoding: Of the problem's space.
        description: What the search is, as text by key.
    """
    rows = []
    for objective, prior in stored_priors(description).items():
        try:
            prior.check(problem.space, objective)
        except InvalidArgumentError:  # choices that JSON does not give back as they were
            continue
        effect = prior_effect(problem, trials, objective, prior, encoding, front)
        rows.append(
            {
                "objective": objective,
                "center": dict(prior.center),
                "confidence": prior.confidence,
                "verdict": effect.verdict.value,
                "words": in_words(effect, problem.fidelity),
                "with": asdict(effect.guided),
                "without": asdict(effect.free),
            }
        )
    return rows


def _probability(share: float) -> str:
    """In percent; none is certain."""
    return "more than 99.9%" if share > 0.999 else "less than 0.1%" if share < 0.001 else f"{share:.1%}"


def in_words(effect: PriorEffect, fidelity: Fidelity = BY_EPOCHS) -> str:
    """The effect as a sentence or two."""
    at = "" if effect.epoch is None else f" after {fidelity.text(effect.epoch)}"
    if not effect.guided.trials:
        return "No proposal with a value was made with this prior yet."
    words = (
        f"By the {effect.trials} trials{at} this objective is better where the prior is denser with a probability of "
        f"{_probability(effect.right)}."
    )
    if not effect.free.trials:
        return f"{words} Every proposal was made with a prior, so that there is none to compare with."
    share = f"{effect.superiority:.0%}"
    return f"{words} A proposal with it was better in this objective than one without any in {share} of all pairs."
