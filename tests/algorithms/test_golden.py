"""Pinned runs: the same seed must give the same proposals in every later version, or the change is one to announce.

After such a change, ``python -m tests.algorithms.test_golden`` writes the file anew; look at what changed in it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lightning_primo import (
    CMAES,
    MOASHA,
    MOBANANAS,
    MOBOHB,
    MSEHVI,
    NSGA2,
    PB2,
    PBT,
    SHEMOA,
    Algorithm,
    BulkAndCut,
    EvolutionarySampler,
    GridSearch,
    Hyperband,
    PriMO,
    Prior,
    RandomSearch,
    RegularizedEvolution,
    SobolSampler,
    SuccessiveHalving,
)
from lightning_primo.problem.trial import Proposal
from lightning_primo.testing.problems import drive, evaluator, toy_problem

FILE = Path(__file__).with_name("golden.json")
PRIORS = {"error": Prior({"lr": 1e-2, "activation": "gelu"}, confidence=0.75)}
ALGORITHMS: dict[str, tuple[Callable[[], Algorithm], int]] = {
    "random search": (RandomSearch, 4),
    "Sobol search": (lambda: RandomSearch(sampler=SobolSampler()), 4),
    "successive halving": (SuccessiveHalving, 3),
    "Hyperband": (Hyperband, 4),
    "MOASHA": (MOASHA, 3),
    "PriMO": (lambda: PriMO(priors=PRIORS), 8),
    "PriMO, published": (lambda: PriMO.as_published(n_init=6, priors=PRIORS), 11),
    "PriMO, not pausing": (lambda: PriMO(n_init=4, pause=None, priors=PRIORS), 10),
    "PBT": (lambda: PBT(population=4), 5),
    "PB2": (lambda: PB2(population=4), 5),
    "SH-EMOA": (lambda: SHEMOA(full_trainings=8), 8),
    "MO-BOHB": (lambda: MOBOHB(n_min=8), 6),
    "MS-EHVI": (lambda: MSEHVI(n_init=5), 8),
    "MO-BANANAS": (MOBANANAS, 7),
    "BULK & CUT": (lambda: BulkAndCut(full_trainings=9), 9),
    "grid search": (lambda: GridSearch(points=2), 4),
    "CMA-ES": (lambda: CMAES(population_size=4), 12),
    "regularised evolution": (lambda: RegularizedEvolution(population_size=5), 12),
    "NSGA-II": (lambda: NSGA2(population_size=5), 12),
    "MOASHA, bred": (lambda: MOASHA(sampler=EvolutionarySampler(population_size=8)), 4),
}
"""Each with the full trainings that it is driven for, enough that it has modelled, bred or pruned."""


def proposals(name: str) -> list[dict[str, Any]]:
    """What an algorithm proposes on the toy problem with seed 0."""
    make, full_trainings = ALGORITHMS[name]
    problem = toy_problem(2, at_most=20_000)
    algorithm = make()
    algorithm.start(problem, seed=0)
    events = drive(algorithm, evaluator(problem), epochs=full_trainings * problem.max_epochs)
    return [_described(event) for event in events if isinstance(event, Proposal)]


def _described(proposal: Proposal) -> dict[str, Any]:
    config = {
        # Far more digits than two different proposals share, fewer than the last bits in which machines differ.
        name: float(f"{value:.6g}") if isinstance(value, float) else value
        for name, value in sorted(proposal.config.items())
    }
    fields = {"trial": proposal.trial_id, "to": proposal.epoch, "operation": proposal.operation}
    return {**fields, "parent": proposal.parent, **config}


@pytest.mark.parametrize("name", ALGORITHMS)
def test_proposals_are_those_that_were_pinned(name: str) -> None:
    assert proposals(name) == json.loads(FILE.read_text())[name]


if __name__ == "__main__":
    lines = []
    for algorithm in ALGORITHMS:
        rows = ",\n".join(f"    {json.dumps(row)}" for row in proposals(algorithm))
        lines.append(f"  {json.dumps(algorithm)}: [\n{rows}\n  ]")
    FILE.write_text("{\n" + ",\n".join(lines) + "\n}\n")
