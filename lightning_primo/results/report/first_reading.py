"""What a reader of a front asks first: with which members to begin, and how sure they are."""

from __future__ import annotations

from typing import Any

from lightning_primo.problem.objective import Kind, spread_name
from lightning_primo.results.findings import Findings


def suggested(findings: Findings) -> list[dict[str, Any]]:
    """The members of the front that a reader begins with, from one end to the other."""
    if len(findings.front) < 2 or len(findings.problem.objectives) < 2:
        return []
    ends = [
        {"rule": f"{'lowest' if one.mode == 'min' else 'highest'} {one.name}", "trial": findings.choose(one.name).id}
        for one in findings.problem.objectives
    ]
    if len(findings.front) > 2:
        middle = 1 if len(ends) == 2 else len(ends)
        ends.insert(middle, {"rule": "where the front bends the most", "trial": findings.choose(knee=True).id})
    return ends


def certainty(findings: Findings, *, repeatable: bool) -> str:
    """How sure the front is of what was trained; empty where deviations say so.

    Args:
        findings: What was found.
        repeatable: Whether `Result.repeat` may train it again: not the trials of a study, of which nobody knows how.
    """
    once = [
        objective.name
        for objective in findings.problem.objectives
        if objective.kind is Kind.TRAINED
        and not any(spread_name(objective.name) in trial.measurements for trial in findings.front)
    ]
    if not once or not findings.front:
        return ""
    once_more = "" if not repeatable or any(trial.inherits for trial in findings.front) else " (Result.repeat)"
    each = f"Each {' and '.join(once)} is of one training"
    if len(findings.problem.objectives) == 1:
        return f"{each}, so that the best was also lucky: train it again with other seeds{once_more} to see its mean."
    return (
        f"{each}, so that the members of the front were also lucky: train them again with other seeds{once_more} to "
        "see what they reach."
    )
