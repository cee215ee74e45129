"""Recursive co-kriging: what short trainings showed tells of the full ones.

Le Gratiet and Garnier 2014, "Recursive co-kriging model for design of computer experiments with multiple levels of
fidelity" (International Journal for Uncertainty Quantification 4): `f_k(x) = rho_k f_(k-1)(x) + delta_k(x)` from rung
to rung (their equation 3), the lowest rung and each difference a Gaussian process of its own. Where the configurations
of a rung are among those of the rung below, as those that were trained further are, the posterior is a recursion as
well (equations 10 and 11), so that nothing larger than one rung is ever factorised. With one rung it is a Gaussian
process.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import numpy.typing as npt

from lightning_primo.surrogates.gp import Draws, GaussianProcess

Array = npt.NDArray[np.float64]

_SLOPE = 1.0  # what a rung tells of the next one where there is nothing to go by
_SLOPE_OBSERVATIONS = 3.0  # so many observations that guess weighs
_LARGEST_SLOPE = 2.0


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
        processes: The lowest rung and then the differences from rung to rung.
        slopes: `rho_k` of each rung; 0 at the lowest.
    """

    processes: tuple[GaussianProcess, ...]
    slopes: tuple[float, ...]

    @classmethod
    def fit(cls, rungs: Sequence[Rung], fit: Callable[[int, Array, Array, Array | None], GaussianProcess]) -> CoKriging:
        """Fit it from the lowest rung upwards.

        Args:
            rungs: From the lowest to the highest, at least one, none empty.
            fit: Fits the process of the rung of this number to features, targets and known variances.
        """
        stack = cls((), ())
        for number, rung in enumerate(rungs):
            slope, target = 0.0, rung.y
            if number:
                below = rung.below
                unknown = np.isnan(below)
                if unknown.any():
                    below = np.where(unknown, stack.predict(rung.x)[0], below)
                slope = slope_of(below, rung.y)
                target = rung.y - slope * below
            stack = replace(
                stack,
                processes=(*stack.processes, fit(number, rung.x, target, rung.variances)),
                slopes=(*stack.slopes, slope),
            )
        return stack

    def predict(self, x: Array) -> tuple[Array, Array]:
        """Posterior mean and standard deviation at the highest rung, `q` each.

        Args:
            x: Features, `q x d`.
        """
        return combined(self.processes, self.slopes, x)

    def predict_from(self, x: Array, rung: int, y: Array) -> tuple[Array, Array]:
        """The same of configurations that were trained to a rung, given what was observed there.

        Args:
            x: Features, `q x d`.
            rung: Its number, from 0.
            y: What was observed at it, `q`.
        """
        return combined(self.processes[rung + 1 :], self.slopes[rung + 1 :], x, y)

    @property
    def scale(self) -> float:
        """Standard deviation of what was observed at the highest rung, or of its difference from the one below."""
        return self.processes[-1].scale

    def believing(self, x: Array) -> CoKriging:
        """As if pending points came out as predicted at every rung, see `GaussianProcess.believing`.

        Args:
            x: Features of the pending points, `p x d`; `p` may be 0.
        """
        return replace(self, processes=tuple(process.believing(x) for process in self.processes))

    def draw(self, x: Array, n_draws: int, rng: np.random.Generator) -> DrawnCoKriging:
        """Joint draws at `q` points, and the posterior given each draw; see `GaussianProcess.draw`.

        A rung's process is drawn at all points where it was observed as well, or these would be forgotten.
        """
        drawn = (process.draw(_with_others(x, process.x), n_draws, rng) for process in self.processes)
        return DrawnCoKriging(tuple(drawn), self.slopes, len(x))


@dataclass(frozen=True)
class DrawnCoKriging:
    """Functions drawn from a co-kriging model, known at `q` points at every rung.

    Attributes:
        draws: Of each process.
        slopes: Of each rung.
        n_points: The `q` points are the first of those that the draws were made at.
    """

    draws: tuple[Draws, ...]
    slopes: tuple[float, ...]
    n_points: int

    @property
    def values(self) -> Array:
        """The functions' values at the highest rung, `s x q`."""
        values = np.zeros((len(self.draws[0].values), self.n_points))
        for slope, draws in zip(self.slopes, self.draws, strict=True):
            values = slope * values + draws.values[:, : self.n_points]
        return values

    def predict(self, x: Array) -> tuple[Array, Array]:
        """Each function's mean at other points, `r x s`, and their common standard deviation, `r`."""
        return combined(self.draws, self.slopes, x)

    def predict_from(self, x: Array, rung: int, y: Array) -> tuple[Array, Array]:
        """The same of configurations that were trained to a rung, given what was observed there, `r`."""
        return combined(self.draws[rung + 1 :], self.slopes[rung + 1 :], x, y[:, None])


def combined(
    posteriors: Sequence[Posterior], slopes: Sequence[float], x: Array, y: Array | None = None
) -> tuple[Array, Array]:
    """Mean and standard deviation after the rungs of `posteriors`, from `y`, or from nothing at the lowest rung."""
    mean: Array = np.zeros(len(x)) if y is None else y
    variance = np.zeros(len(x))
    for slope, posterior in zip(slopes, posteriors, strict=True):
        difference, deviation = posterior.predict(x)
        mean = slope * mean + difference if slope else difference
        variance = slope**2 * variance + np.square(deviation)
    return mean, np.sqrt(variance)


def _with_others(x: Array, others: Array) -> Array:
    """`x` and then the rows of `others` that are not among them."""
    known = {row.tobytes() for row in x}
    return np.concatenate([x, others[[row.tobytes() not in known for row in others]]])


def slope_of(below: Array, y: Array) -> float:
    """`rho`, by least squares, drawn to 1 as by three more observations: two or three say little about a slope."""
    centred = below - below.mean()
    spread = float(centred @ centred)
    weight = _SLOPE_OBSERVATIONS * spread / max(len(below), 1)
    if spread + weight <= 0:
        return _SLOPE
    return float(np.clip((centred @ (y - y.mean()) + weight * _SLOPE) / (spread + weight), 0.0, _LARGEST_SLOPE))
