"""Grid search: every combination of a few values of each hyperparameter, at the full budget, in random order.

In a grid each hyperparameter takes as few values as there are levels, however many points there are, so that where few
of them matter random search covers those better (Bergstra and Bengio 2012): it is for spaces with few hyperparameters,
or where every combination is wanted.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from typing_extensions import override

from lightning_primo.algorithms.algorithm import Algorithm
from lightning_primo.algorithms.parts.grid import LARGEST_GRID, Levels, check_size, grid_size, grid_vectors
from lightning_primo.checks import check_mapping, check_whole, shown
from lightning_primo.errors import InvalidArgumentError, UnknownNameError
from lightning_primo.problem import Problem
from lightning_primo.problem.trial import Config, Proposal, Status, Trial
from lightning_primo.space import CategoricalAxis

_POINTS = 3  # of a hyperparameter that a mapping leaves out
_STREAM = 0x6121D  # keeps the order of the points apart from the numbers of the asks


class GridSearch(Algorithm):
    """Train every point of a grid for the full number of epochs, in an order that is shuffled by the seed.

    Points are evenly spaced from bound to bound, on a logarithmic scale where the hyperparameter has one; integers are
    rounded, and none is there twice. A choice without order has all of its choices. An inactive hyperparameter does not
    multiply points: with one layer there is no second width. What is forbidden or breaks an exact bound is left out.
    When all points were tried the search ends, whatever is left of its budget.

    Args:
        points: How many values each numerical or ordered hyperparameter has in the grid, at least 1, which is the
            middle. Or a dict that says so by name, with a number or the values themselves; those left out have 3.

    Raises:
        InvalidArgumentError: If a number is below 1, or values are none.
    """

    def __init__(self, *, points: int | Mapping[str, int | Sequence[Any]] = _POINTS) -> None:
        self.points = _checked_points(points)

    @override
    def start(self, problem: Problem, *, seed: int = 0) -> None:
        super().start(problem, seed=seed)
        levels = self._levels()
        self.size = check_size(grid_size(self.encoding, levels))
        vectors = grid_vectors(self.encoding, levels)
        np.random.default_rng([seed, _STREAM]).shuffle(vectors)
        self._grid = vectors
        self._taken = np.zeros(len(vectors), dtype=np.bool_)
        self._breaking: set[int] = set()  # a cache: the points that are known to break an exact bound

    @override
    def propose(self, rng: np.random.Generator) -> Proposal | None:
        places = np.flatnonzero(~self._taken).tolist()
        config = next(self._within_bounds(places), None)
        # Where no point keeps the bounds they are proposed all the same, so that the search says what they break.
        own = [trial for trial in self.trials if not trial.known]
        if config is None and places and all(trial.status is Status.REJECTED for trial in own):
            config = self.encoding.config(self._grid[places[0]])
        return None if config is None else self.new_trial(config, self.problem.max_epochs, operation="grid")

    def _within_bounds(self, places: Iterable[int]) -> Iterator[Config]:
        """The configurations of points, without those that break an exact bound."""
        for place in places:
            if place not in self._breaking:
                config = self.encoding.config(self._grid[place])
                if self.problem.violation(config) is None:
                    yield config
                else:
                    self._breaking.add(place)

    def _registered(self, proposal: Proposal) -> None:
        self._take(proposal.config)

    def _learned(self, trial: Trial) -> None:
        if trial.at(self.problem.max_epochs) is not None:
            self._take(trial.config)

    def _take(self, config: Config) -> None:
        vector = self.encoding.vector(config)
        same = (self._grid == vector) | (np.isnan(self._grid) & np.isnan(vector))
        self._taken |= same.all(axis=1)

    def _levels(self) -> Levels:
        """The vector values of each hyperparameter in the grid."""
        given = self.points if isinstance(self.points, dict) else dict.fromkeys(self.encoding.names, self.points)
        for name in given:
            if name not in self.encoding.names:
                raise UnknownNameError("hyperparameter in 'points'", name, self.encoding.names)
        levels = []
        for name, axis in zip(self.encoding.names, self.encoding.axes, strict=True):
            wanted = given.get(name, _POINTS)
            if not isinstance(wanted, int):
                levels.append(np.unique(axis.encode(wanted)))
                continue
            if isinstance(self.points, dict) and name in given and isinstance(axis, CategoricalAxis):
                raise InvalidArgumentError(
                    f"'points' wants {wanted} of {name!r}, whose choices have no order; leave it out to have all of "
                    "them, or give a list of those that you want"
                )
            levels.append(axis.levels(wanted))
        return levels


def _checked_points(points: Any) -> int | dict[str, int | tuple[Any, ...]]:
    if isinstance(points, int) or not isinstance(points, Mapping):
        return check_whole("points", points, least=1, most=LARGEST_GRID)
    checked = check_mapping("points", points, "hyperparameters to numbers or values")
    for name, wanted in checked.items():
        if isinstance(wanted, int):
            check_whole(f"points[{name}]", wanted, least=1, most=LARGEST_GRID)
            continue
        values = wanted.tolist() if isinstance(wanted, np.ndarray) else wanted
        if isinstance(values, (str, bytes)) or not isinstance(values, Sequence) or not values:
            raise InvalidArgumentError(
                f"'points' must hold a whole number or a list of values for each hyperparameter, got {shown(wanted)} "
                f"for {name!r}"
            )
        checked[name] = tuple(values)
    return checked
