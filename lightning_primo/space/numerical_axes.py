"""The axes of floats and integers."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from ConfigSpace.hyperparameters import (
    BetaFloatHyperparameter,
    BetaIntegerHyperparameter,
    FloatHyperparameter,
    Hyperparameter,
    IntegerHyperparameter,
    NormalFloatHyperparameter,
    NormalIntegerHyperparameter,
)
from scipy.special import betaincinv
from typing_extensions import override

from lightning_primo.space.axis import FloatArray, OrderedAxis, Values, neighbour_code, reflect
from lightning_primo.space.truncated_normal import UnitTruncatedNormal

_DIGITS = 12  # of a decoded float: far above the rounding error of the logarithm, far below what matters in training
_POWERS = np.array([float(f"1e{exponent}") for exponent in range(309)])
_EXACT_POWER = 22  # 10^22 is the largest power of ten that a double holds exactly
_SMALL_STEP = 1e-3  # in the unit interval, where the requested step was lost in rounding


class FloatAxis(OrderedAxis):
    """A float, uniform, normal or beta, on a linear or logarithmic scale.

    Decoded values have 12 significant digits (on a linear scale: of the larger bound), and the bounds exactly, so that
    they come back unchanged from their vector value.
    """

    def __init__(self, hyperparameter: FloatHyperparameter) -> None:
        self.name = hyperparameter.name
        self.size = None
        self.scale = _Scale(hyperparameter.lower, hyperparameter.upper, log=hyperparameter.log)
        self._warp = _warp_of(hyperparameter, self.scale)

    @property
    @override
    def domain(self) -> str:
        return f"a number in [{self.scale.lower:g}, {self.scale.upper:g}]"

    @override
    def accepts(self, value: Any) -> bool:
        return _is_number(value) and self.scale.lower <= float(value) <= self.scale.upper

    @override
    def position(self, values: Values) -> FloatArray:
        return self.scale.to_unit(np.asarray(values, dtype=np.float64))

    @override
    def values(self, column: FloatArray) -> npt.NDArray[Any]:
        lower, upper = self.scale.lower, self.scale.upper
        raw = self.scale.from_unit(_clip(column, 0.0, 1.0))
        rounded = _clip(_round_digits(raw, raw if self.scale.log else max(-lower, upper)), lower, upper)
        return np.where(column <= 0.0, lower, np.where(column >= 1.0, upper, rounded))

    @override
    def discretise(self, x: FloatArray) -> FloatArray:
        return self.canonical(x)

    @override
    def quantile(self, u: FloatArray) -> FloatArray:
        return self.canonical(self._warp(u))

    def _neighbour(self, column: FloatArray, upwards: npt.NDArray[np.bool_]) -> FloatArray:
        return self.canonical(reflect(column + np.where(upwards, _SMALL_STEP, -_SMALL_STEP)))


class IntegerAxis(OrderedAxis):
    """An integer, uniform, normal or beta, on a linear or logarithmic scale."""

    size: int

    def __init__(self, hyperparameter: IntegerHyperparameter) -> None:
        self.name = hyperparameter.name
        self.scale = _Scale(hyperparameter.lower, hyperparameter.upper, log=hyperparameter.log)
        self.size = int(hyperparameter.upper) - int(hyperparameter.lower) + 1
        self._lower = int(hyperparameter.lower)
        self._warp = _warp_of(hyperparameter, self.scale)

    @property
    @override
    def domain(self) -> str:
        return f"an integer in [{self._lower}, {self._lower + self.size - 1}]"

    @override
    def accepts(self, value: Any) -> bool:
        return _is_number(value) and self.scale.lower <= value <= self.scale.upper and float(value).is_integer()

    @override
    def position(self, values: Values) -> FloatArray:
        return self.scale.to_unit(np.asarray(values, dtype=np.float64))

    @override
    def values(self, column: FloatArray) -> npt.NDArray[Any]:
        return np.rint(self.scale.from_unit(_clip(column, 0.0, 1.0))).astype(np.int64)

    @override
    def levels(self, most: int) -> FloatArray:
        # Even steps of a logarithmic axis would miss neighbours at its upper end.
        return self.position(self._lower + np.arange(self.size)) if most >= self.size else super().levels(most)

    @override
    def discretise(self, x: FloatArray) -> FloatArray:
        # ConfigSpace's bins: equally wide between the bounds on the linear scale, also if the axis is logarithmic.
        below = (self.scale.from_unit(x) - self.scale.lower) / (self.scale.upper - self.scale.lower)
        return self.position(self._lower + _clip(np.floor(below * self.size), 0, self.size - 1))

    @override
    def quantile(self, u: FloatArray) -> FloatArray:
        return self.discretise(self._warp(u))

    def bin_widths(self) -> FloatArray:
        """Widths in the unit interval of the bins of `discretise`: the probabilities under uniform sampling."""
        edges = np.linspace(self.scale.lower, self.scale.upper, self.size + 1)
        return np.diff(self.scale.to_unit(edges))

    def _neighbour(self, column: FloatArray, upwards: npt.NDArray[np.bool_]) -> FloatArray:
        code = neighbour_code(self.values(column) - self._lower, upwards, self.size)
        return self.position(self._lower + code)


class _Scale:
    """The map between [lower, upper] and [0, 1], by ConfigSpace's formulas."""

    def __init__(self, lower: float, upper: float, *, log: bool) -> None:
        self.lower, self.upper, self.log = float(lower), float(upper), bool(log)
        self._start: float = np.log(self.lower) if log else self.lower
        self._range: float = (np.log(self.upper) if log else self.upper) - self._start

    def to_unit(self, values: FloatArray) -> FloatArray:
        scaled: FloatArray = ((np.log(values) if self.log else values) - self._start) / self._range
        return _clip(scaled, 0.0, 1.0)

    def from_unit(self, x: FloatArray) -> FloatArray:
        scaled: FloatArray = x * self._range + self._start
        return np.exp(scaled) if self.log else scaled


def _warp_of(hyperparameter: Hyperparameter[Any, Any], scale: _Scale) -> Callable[[FloatArray], FloatArray]:
    """The quantile function on the unit interval of a uniform, normal or beta hyperparameter."""
    if isinstance(hyperparameter, (NormalFloatHyperparameter, NormalIntegerHyperparameter)):
        mu, sigma = float(hyperparameter.mu), float(hyperparameter.sigma)
        lower, upper = scale.lower, scale.upper
        # On a log scale ConfigSpace takes 'sigma' as the shift of the lower bound, log(lower + sigma).
        std = abs(math.log(lower + sigma) / math.log(upper / lower)) if scale.log else sigma / (upper - lower)
        mean = math.log(mu / lower) / math.log(upper / lower) if scale.log else (mu - lower) / (upper - lower)
        return UnitTruncatedNormal(mean, std).ppf
    if isinstance(hyperparameter, (BetaFloatHyperparameter, BetaIntegerHyperparameter)):
        alpha, beta = hyperparameter.alpha, hyperparameter.beta
        return lambda u: np.asarray(betaincinv(alpha, beta, u), dtype=np.float64)
    return lambda u: u


def _round_digits(values: FloatArray, magnitude: FloatArray | float) -> FloatArray:
    """Rounds `values` to the last of the 12 significant digits of `magnitude` (positive)."""
    places = _DIGITS - 1 - np.floor(np.log10(magnitude)).astype(np.intp)
    up = _POWERS[_clip(places, 0, _EXACT_POWER)]
    down = _POWERS[_clip(-places, 0, 308)]
    # Dividing an integer by an exact power of ten gives the double nearest to the decimal: 0.001, not 0.0009999999999.
    rounded: FloatArray = np.rint(values * up / down) * down / up
    return rounded


def _clip(values: npt.NDArray[Any], low: float, high: float) -> npt.NDArray[Any]:
    """`np.clip`, whose checks of its arguments take most of the time where there are few values."""
    clipped: npt.NDArray[Any] = np.minimum(np.maximum(values, low), high)
    return clipped


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)
