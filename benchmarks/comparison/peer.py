"""What another optimiser is to us: it proposes a configuration, and is told what its full training gave."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Protocol

import numpy as np
from ConfigSpace import ConfigurationSpace
from ConfigSpace.types import NotSet
from typing_extensions import override

from lightning_primo.algorithms import Algorithm
from lightning_primo.problem import Problem
from lightning_primo.problem.trial import Config, Evaluation, Proposal, Trial


class Peer(Protocol):
    """Another optimiser, at work on a problem."""

    def propose(self) -> Config:
        """The active hyperparameters of what to train next."""

    def told(self, losses: Sequence[float]) -> None:
        """Take in what the last proposal gave.

        Args:
            losses: Scaled losses, `m`: those that our algorithms see.
        """


MakePeer = Callable[[Problem, Sequence[Config], int], Peer]
"""From a problem, configurations to begin with and a seed to an optimiser."""


class PeerSearch(Algorithm):
    """A peer as an algorithm, one full training at a time. Its searches cannot be restored.

    Args:
        make: Makes the peer when a search starts.
        centers: Configurations to begin with, which may leave hyperparameters open.
    """

    def __init__(self, *, make: MakePeer, centers: Sequence[Config] = ()) -> None:
        self.make = make
        self.centers = centers

    @override
    def start(self, problem: Problem, *, seed: int = 0) -> None:
        super().start(problem, seed=seed)
        self._proposed: Config | None = None
        with _without_warnings():
            self._peer = self.make(problem, self.centers, seed)

    @override
    def propose(self, rng: np.random.Generator) -> Proposal:
        if self._proposed is None:
            with _without_warnings():
                self._proposed = self._peer.propose()
        return self.new_trial(self._proposed, self.problem.max_epochs)

    @override
    def _registered(self, proposal: Proposal) -> None:
        self._proposed = None

    @override
    def _told(self, trial: Trial, target: int, evaluation: Evaluation) -> None:
        with _without_warnings():
            self._peer.told(self.problem.scaled_losses([evaluation.losses])[0].tolist())


def is_active(space: ConfigurationSpace, name: str, values: Mapping[str, object]) -> bool:
    """Whether a hyperparameter is active beside the active ones among those before it in the space."""
    given = {**dict.fromkeys(space, NotSet), **values}
    return all(condition.satisfied_by_value(given) for condition in space.parent_conditions_of[name])


@contextmanager
def _without_warnings() -> Iterator[None]:
    """What a peer warns of, as that it is experimental, is nothing that the one who compares could heed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
