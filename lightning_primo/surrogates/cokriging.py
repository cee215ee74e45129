"""Co-kriging from rung to rung: what short trainings showed tells of the full ones.

Le Gratiet and Garnier 2014, "Recursive co-kriging model for design of computer experiments with multiple levels of
fidelity" (International Journal for Uncertainty Quantification 4), fit the lowest rung and the difference from each
rung to the next by a Gaussian process of its own, so that nothing larger than one rung is ever factorised; the
posterior is a recursion (their equations 10 and 11). The difference here depends on the configuration and on what the
rung below showed, as in Perdikaris, Raissi, Damianou, Lawrence, Karniadakis 2017, "Nonlinear information fusion
algorithms for data-efficient multi-fidelity modelling" (Proceedings of the Royal Society A 473):

    f_k(x) = f_(k-1)(x) + delta_k(x, f_(k-1)(x))

What is trained further is the best of its rung. A factor in front of `f_(k-1)`, as theirs, would be fitted to these
alone, among which it is small: what is worse than they are, or better, would be predicted to be like them, and with
little doubt. Here the difference is the more doubtful the farther the rung below is from what was trained further.

With one rung this is a Gaussian process.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Protocol

import numpy as np
import numpy.typing as npt

from lightning_primo.surrogates.gp import SMALLEST_SPREAD, Draws, GaussianProcess

Array = npt.NDArray[np.float64]


class Posterior(Protocol):
    """What one of the processes, or a set of functions drawn from it, says at other points."""

    def predict(self, x: Array) -> tuple[Array, Array]:
        """Means, `q` or `q x s`, and standard deviations, `q`."""


@dataclass(frozen=True)
class Rung:
    """What was observed of one quantity at one rung.

    Attributes:
        x: Features of the configurations, `n x d`.
        y: What was observed, `n`.
        below: What was observed of the same configurations one rung below, `n`; NaN where that is not known.
        variances: Known variances of `y`, `n`, or None: all 0.
    """

    x: Array
    y: Array
    below: Array
    variances: Array | None = None


@dataclass(frozen=True)
class CoKriging:
    """One quantity over the rungs of a search; what is predicted is its value at the highest.

    Attributes:
        processes: The lowest rung, of features, `d`, and then the differences from rung to rung, of these and the place
            in the range of the rung below, `d + 1`.
        ranges: The least of what was observed at each rung but the last, and how far it extends; 1 where that is
            nothing but rounding.
    """

    processes: tuple[GaussianProcess, ...]
    ranges: tuple[tuple[float, float], ...] = ()

    @classmethod
    def fit(cls, rungs: Sequence[Rung], fit: Callable[[int, Array, Array, Array | None], GaussianProcess]) -> CoKriging:
        """Fit it from the lowest rung upwards.

        Args:
            rungs: From the lowest to the highest, at least one, none empty.
            fit: Fits the process of the rung of this number to features, targets and known variances.
        """
        lowest = rungs[0]
        stack = cls((fit(0, lowest.x, lowest.y, lowest.variances),))
        for number, (under, rung) in enumerate(pairwise(rungs), start=1):
            unknown = np.isnan(rung.below)
            below = np.where(unknown, stack.predict(rung.x)[0], rung.below) if unknown.any() else rung.below
            low, extent = float(under.y.min()), float(np.ptp(under.y))
            stack = replace(stack, ranges=(*stack.ranges, (low, extent if extent > SMALLEST_SPREAD else 1.0)))
            process = fit(number, stack.inputs(rung.x, number, below), rung.y - below, rung.variances)
            stack = replace(stack, processes=(*stack.processes, process))
        return stack

    def inputs(self, x: Array, number: int, below: Array) -> Array:
        """What the process of a rung is a function of: features and the place in the range of the rung below.

        Args:
            x: Features, `q x d`.
            number: Of the rung.
            below: What was observed, or is predicted, at the rung below, `q`; of no account at the lowest rung.
        """
        if number == 0:
            return x
        low, extent = self.ranges[number - 1]
        return np.column_stack([x, (below - low) / extent])

    def below(self) -> CoKriging:
        """Of the rungs below the highest, of which there must be one."""
        return CoKriging(self.processes[:-1], self.ranges[:-1])

    def predict(self, x: Array) -> tuple[Array, Array]:
        """Posterior mean and standard deviation at the highest rung, `q` each.

        Args:
            x: Features, `q x d`.
        """
        return self._climbed(x, -1, np.zeros(len(x)))

    def predict_from(self, x: Array, rung: int, y: Array) -> tuple[Array, Array]:
        """The same of configurations that were trained to a rung, given what was observed there.

        Args:
            x: Features, `q x d`.
            rung: Its number, from 0.
            y: What was observed at it, `q`.
        """
        return self._climbed(x, rung, y)

    def _climbed(self, x: Array, rung: int, y: Array) -> tuple[Array, Array]:
        """Mean and standard deviation at the highest rung, from what is known of a rung."""
        mean, variance = y, np.zeros(len(x))
        for number in range(rung + 1, len(self.processes)):
            difference, deviation = self.processes[number].predict(self.inputs(x, number, mean))
            mean, variance = mean + difference, variance + np.square(deviation)
        return mean, np.sqrt(variance)

    def path(self, x: Array, rung: int, y: Array) -> list[Array]:
        """The inputs of each process above a rung, if those below it come out as predicted.

        Args:
            x: Features, `q x d`.
            rung: Its number; -1 for below the lowest.
            y: What is known of it, `q`; 0 below the lowest.
        """
        path: list[Array] = []
        for number in range(rung + 1, len(self.processes)):
            if path:
                y = y + self.processes[number - 1].predict(path[-1])[0]
            path.append(self.inputs(x, number, y))
        return path

    @property
    def scale(self) -> float:
        """Standard deviation of what was observed at the highest rung, or of its difference from the one below."""
        return self.processes[-1].scale

    def believing(self, x: Array) -> CoKriging:
        """As if pending points came out as predicted at every rung, see `GaussianProcess.believing`.

        Args:
            x: Features of the pending points, `p x d`; `p` may be 0.
        """
        if not len(x):
            return self
        path = self.path(x, -1, np.zeros(len(x)))
        believed = (process.believing(inputs) for process, inputs in zip(self.processes, path, strict=True))
        return replace(self, processes=tuple(believed))

    def draw(self, x: Array, n_draws: int, rng: np.random.Generator) -> DrawnCoKriging:
        """Joint draws at `q` points, and the posterior given each draw; see `GaussianProcess.draw`.

        A rung's process is drawn at all points where it was observed as well, or these would be forgotten. What
        it is drawn at is the same for all draws: the rung below as it was observed, or as it is predicted.
        """
        path = self.path(x, -1, np.zeros(len(x)))
        drawn = (
            process.draw(_with_others(_as_observed(inputs, process.x, x.shape[1]), process.x), n_draws, rng)
            for process, inputs in zip(self.processes, path, strict=True)
        )
        return DrawnCoKriging(self, tuple(drawn), len(x))


@dataclass(frozen=True)
class DrawnCoKriging:
    """Functions drawn from a co-kriging model, known at `q` points at every rung.

    Attributes:
        model: From whose posterior.
        draws: Of each process.
        n_points: The `q` points are the first of those that the draws were made at.
    """

    model: CoKriging
    draws: tuple[Draws, ...]
    n_points: int

    @property
    def values(self) -> Array:
        """The functions' values at the highest rung, `s x q`."""
        values: Array = np.sum([draws.values[:, : self.n_points] for draws in self.draws], axis=0)
        return values

    def predict(self, x: Array) -> tuple[Array, Array]:
        """Each function's mean at other points, `r x s`, and their common standard deviation, `r`."""
        return self._climbed(x, -1, np.zeros(len(x)))

    def predict_from(self, x: Array, rung: int, y: Array) -> tuple[Array, Array]:
        """The same of configurations that were trained to a rung, given what was observed there, `r`."""
        return self._climbed(x, rung, y)

    def _climbed(self, x: Array, rung: int, y: Array) -> tuple[Array, Array]:
        mean = np.repeat(y[:, None], len(self.draws[0].values), axis=1)
        variance = np.zeros(len(x))
        for inputs, draws in zip(self.model.path(x, rung, y), self.draws[rung + 1 :], strict=True):
            difference, deviation = draws.predict(inputs)
            mean, variance = mean + difference, variance + np.square(deviation)
        return mean, np.sqrt(variance)


def _as_observed(inputs: Array, observed: Array, d: int) -> Array:
    """`inputs`, where the configuration was observed with the rung below as it was observed too."""
    rows = {row[:d].tobytes(): row for row in observed}
    return np.stack([rows.get(row[:d].tobytes(), row) for row in inputs])


def _with_others(x: Array, others: Array) -> Array:
    """`x` and then the rows of `others` that are not among them."""
    known = {row.tobytes() for row in x}
    return np.concatenate([x, others[[row.tobytes() not in known for row in others]]])
