"""Directories of searches written by hand, for the tests of the commands that read them."""

from __future__ import annotations

from pathlib import Path

from lightning_primo import FLOPs, Metric, ParameterCount, RandomSearch
from lightning_primo.problem.trial import Proposal
from lightning_primo.search.description import describe
from lightning_primo.store import Store
from tests.results.search_log import Log, two_objective_log


def written(directory: Path, log: Log | None = None) -> Log:
    """A search over validation error and parameters, as its directory holds it; see `two_objective_log`."""
    log = log or two_objective_log()
    description = describe(
        log.problem,
        objectives=[Metric("val_error", mode="min", reference=1.0), ParameterCount(at_most=1e4)],
        constraints=[FLOPs(at_most=2e4)],
        algorithm=RandomSearch(),
        seed=3,
    )
    with Store(directory, description) as store:
        for event, elapsed in log.events:
            if isinstance(event, Proposal):
                store.ask(event, elapsed=elapsed)
            else:
                store.tell(event, elapsed=elapsed)
    return log
