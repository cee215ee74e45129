"""A search by many workers in simulated time: stragglers, failures and results out of order, in milliseconds."""

from __future__ import annotations

import heapq
import math
from dataclasses import dataclass, replace

import numpy as np

from lightning_primo.algorithms import Algorithm
from lightning_primo.problem.trial import Evaluation, Proposal, Status
from lightning_primo.testing.problems import Evaluate

_SPREAD = 0.5  # of the logarithm of a training's duration
_STATUSES = (
    Status.REJECTED,
    Status.DIVERGED,
    Status.OUT_OF_MEMORY,
    Status.TIMEOUT,
    Status.CRASHED,
    Status.ERROR,
)


@dataclass(frozen=True)
class Simulation:
    """What came of a simulated search.

    Attributes:
        events: What was asked and told, in the order in which it happened.
        seconds: Simulated time, a second per epoch of a usual training, until nothing more was asked.
        idle: Share of the workers' time until then in which one was free and got no proposal.
    """

    events: tuple[Proposal | Evaluation, ...]
    seconds: float
    idle: float


def simulate(
    algorithm: Algorithm,
    evaluate: Evaluate,
    *,
    epochs: float,
    n_workers: int,
    seed: int = 0,
    straggling: float = 0.05,
    slowdown: float = 100.0,
    failing: float = 0.0,
) -> Simulation:
    """Ask and tell a started algorithm as a search with many workers does, until `epochs` are committed.

    Args:
        algorithm: Started on a problem.
        evaluate: Carries out proposals.
        epochs: When to stop asking; what is pending is finished.
        n_workers: Proposals carried out at a time. Each is told when its simulated training ends.
        seed: Of the durations and failures.
        straggling: Share of the trainings that take `slowdown` times as long.
        slowdown: See `straggling`.
        failing: Share of the trainings that fail, before, in or after any of their epochs and in every way there is;
            below 1, as those that have trained nothing spend nothing.

    Returns:
        The events, and how well the workers were used.
    """
    rng = np.random.default_rng(seed)
    events: list[Proposal | Evaluation] = []
    running: list[tuple[float, int, Evaluation]] = []  # by the time at which they end
    now = end = waited = 0.0
    while True:
        n_free = n_workers - len(running)
        while n_free and algorithm.epochs_committed < epochs:
            proposal = algorithm.ask(epochs_left=epochs - algorithm.epochs_committed)
            if proposal is None:
                break
            events.append(proposal)
            slow = slowdown if rng.random() < straggling else 1.0
            duration = proposal.epochs * slow * rng.lognormal(0.0, _SPREAD)
            evaluation = evaluate(proposal)
            if rng.random() < failing and evaluation.ok:
                evaluation = _failed(proposal, evaluation, rng)
            heapq.heappush(running, (now + duration, len(events), evaluation))
            n_free -= 1
        if not running:
            return Simulation(tuple(events), end, waited / (n_workers * end) if end else 0.0)
        later, _, evaluation = heapq.heappop(running)
        if algorithm.epochs_committed < epochs:
            waited, end = waited + n_free * (later - now), later
        now = later
        algorithm.tell(evaluation)
        events.append(evaluation)


def _failed(proposal: Proposal, evaluation: Evaluation, rng: np.random.Generator) -> Evaluation:
    status = _STATUSES[rng.integers(len(_STATUSES))]
    trained = 0 if status is Status.REJECTED else int(rng.integers(proposal.epochs + 1))
    return replace(
        evaluation,
        epoch=proposal.start_epoch + trained,
        losses=(math.nan,) * len(evaluation.losses),
        status=status,
        reason=status.value,
        curve={epoch: losses for epoch, losses in evaluation.curve.items() if epoch <= proposal.start_epoch + trained},
        cost=float(trained),
        finished=False,
    )
