"""An ensemble of small networks that predicts several objectives at once, with a spread that grows away from the data.

Each member is drawn towards its own random initial weights, which makes the members samples of an approximate
posterior (Pearce et al. 2020, "Uncertainty in Neural Networks: Approximately Bayesian Ensembling", AISTATS,
arXiv 1810.05546, equation 8). They are trained together as batched matrices, with gradients in closed form: for
networks of this size that takes less time than automatic differentiation.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from lightning_primo.errors import InvalidArgumentError

Array = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.intp]
Layers = list[tuple[Array, Array]]
"""Weights, `k x in x out`, and biases, `k x 1 x out`, of each layer of `k` members."""

_HIDDEN = (32, 32)
_FIRST_LAYER = 1.0  # variance of the first layer's weights times their number of inputs; small, so smooth functions
_LATER_LAYERS = 2.0  # likewise; keeps the scale from layer to layer with rectified units (He et al. 2015)
_BIAS_DEVIATION = 0.5
_NOISE = 0.1  # standard deviation of the observations that the anchoring reckons with, of standardised targets
_STEPS = 200
_BATCH = 64
_LEARNING_RATE = 0.03
_MOMENTUM = 0.9
_SECOND_MOMENTUM = 0.99
_ADAM_EPSILON = 1e-8
_SMALLEST_SPREAD = 1e-9
_MANY_FEATURES = 64  # beyond which those that never vary, as of choices that nobody has tried, are left out


@dataclass(frozen=True)
class NetworkEnsemble:
    """A trained ensemble; build one with `NetworkEnsemble.fit`.

    Attributes:
        layers: Weights and biases of all `k` members, layer by layer.
        shift: Mean of the targets, `m`.
        scale: Standard deviation of the targets, `m`; 1 where they are constant.
        least_deviation: Added in quadrature to the members' spread, `m`.
        columns: The features that are looked at, ascending.
    """

    layers: Layers
    shift: Array
    scale: Array
    least_deviation: Array
    columns: IntArray

    @classmethod
    def fit(cls, x: Array, y: Array, *, n_members: int = 5, rng: np.random.Generator) -> NetworkEnsemble:
        """Train all members, by Adam with a cosine schedule; on batches where there are many observations.

        Args:
            x: Features in [0, 1], `n x d`, `n >= 1`.
            y: Targets, `n x m`, `m >= 1`; standardised inside.
            n_members: `k`, at least 2.
            rng: Initial weights and batches follow from it alone.

        Raises:
            InvalidArgumentError: If a shape does not fit, a number is not finite, or there is no spread to estimate.
        """
        _check(x, y, n_members)
        spread = y.std(axis=0)
        shift, scale = y.mean(axis=0), np.where(spread > _SMALLEST_SPREAD, spread, 1.0)
        varies = (x != x[0]).any(axis=0) if x.shape[1] > _MANY_FEATURES else np.ones(x.shape[1], dtype=np.bool_)
        columns = np.flatnonzero(varies)
        layers = _train(_centred(x[:, columns]), (y - shift) / scale, n_members, rng)
        # Five members that happen to agree say little: of n observations not even the mean is known any better.
        least = scale / math.sqrt(len(y))
        return cls(layers=layers, shift=shift, scale=scale, least_deviation=least, columns=columns)

    def members(self, x: Array) -> Array:
        """Each member's predictions at features `x` (`q x d`): `k x q x m`."""
        x = _centred(x[:, self.columns])
        outputs = _forward(self.layers, np.broadcast_to(x, (self.n_members, *x.shape)))[-1]
        predictions: Array = outputs * self.scale + self.shift
        return predictions

    def predict(self, x: Array) -> tuple[Array, Array]:
        """Mean and standard deviation over the members, `q x m` each.

        The deviation is never below the standard error of the targets' mean, `scale / sqrt(n)`: ensembles of few
        members on few points are too sure of themselves.

        Args:
            x: Features in [0, 1], `q x d`.
        """
        predictions = self.members(x)
        spread = predictions.std(axis=0, ddof=1)
        return predictions.mean(axis=0), np.sqrt(np.square(spread) + np.square(self.least_deviation))

    @property
    def n_members(self) -> int:
        """How many networks there are: `k`."""
        return len(self.layers[0][0])


def _check(x: Array, y: Array, n_members: int) -> None:
    if n_members < 2:
        raise InvalidArgumentError(f"'n_members' must be at least 2, as one network has no spread, got {n_members!r}")
    if x.ndim != 2 or y.ndim != 2 or len(x) != len(y) or not len(x) or not y.shape[1]:
        raise InvalidArgumentError(
            f"'x' and 'y' must have the shapes (n, d) and (n, m) with n >= 1 and m >= 1, got {x.shape} and {y.shape}"
        )
    for name, array in (("x", x), ("y", y)):
        if not np.isfinite(array).all():
            raise InvalidArgumentError(
                f"{name!r} has NaN or infinite entries in {np.count_nonzero(~np.isfinite(array).all(axis=1))} of its "
                f"{len(array)} rows; leave those out, or fill them in"
            )


def _centred(x: Array) -> Array:
    centred: Array = 2.0 * x - 1.0
    return centred


def _train(x: Array, y: Array, n_members: int, rng: np.random.Generator) -> Layers:
    """The members' layers, trained on standardised targets."""
    sizes = (x.shape[1], *_HIDDEN, y.shape[1])
    deviations = _prior_deviations(sizes)
    anchors = deviations * rng.standard_normal((n_members, len(deviations)))  # k x p: all parameters of a member
    pull = np.square(_NOISE / deviations) / len(x)
    parameters, gradients = anchors.copy(), np.empty_like(anchors)
    layers, layer_gradients = _layers(parameters, sizes), _layers(gradients, sizes)  # views of the matrices
    first, second = np.zeros_like(anchors), np.zeros_like(anchors)
    batches = _Batches(len(x), n_members, rng)
    for step in range(1, _STEPS + 1):
        rows = batches.next()
        _write_gradients(layer_gradients, layers, x[rows], y[rows])
        gradients += pull * (parameters - anchors)
        first += (1.0 - _MOMENTUM) * (gradients - first)
        second += (1.0 - _SECOND_MOMENTUM) * (np.square(gradients) - second)
        rate = _LEARNING_RATE * 0.5 * (1.0 + math.cos(math.pi * (step - 1) / _STEPS)) / (1.0 - _MOMENTUM**step)
        parameters -= rate * first / (np.sqrt(second / (1.0 - _SECOND_MOMENTUM**step)) + _ADAM_EPSILON)
    return layers


def _prior_deviations(sizes: tuple[int, ...]) -> Array:
    """Standard deviations of a member's initial parameters, `p`: of each layer's weights, then of its biases."""
    deviations: list[Array] = []
    for n_in, n_out in pairwise(sizes):
        variance = (_LATER_LAYERS if deviations else _FIRST_LAYER) / max(n_in, 1)
        deviations += [np.full(n_in * n_out, math.sqrt(variance)), np.full(n_out, _BIAS_DEVIATION)]
    return np.concatenate(deviations)


def _layers(parameters: Array, sizes: tuple[int, ...]) -> Layers:
    """Views of the parameters, `k x p`, as layers."""
    n_members, start = len(parameters), 0
    layers: Layers = []
    for n_in, n_out in pairwise(sizes):
        middle, end = start + n_in * n_out, start + (n_in + 1) * n_out
        weights = parameters[:, start:middle].reshape(n_members, n_in, n_out)
        layers.append((weights, parameters[:, middle:end].reshape(n_members, 1, n_out)))
        start = end
    return layers


class _Batches:
    """Row numbers for each step: all of them, or one batch after another of each member's own shuffling."""

    def __init__(self, n_rows: int, n_members: int, rng: np.random.Generator) -> None:
        self._rows = np.tile(np.arange(n_rows), (n_members, 1))
        self._rng = rng
        self._at = n_rows

    def next(self) -> npt.NDArray[np.intp]:
        """`k x b` row numbers."""
        n_rows = self._rows.shape[1]
        if n_rows <= _BATCH:
            return self._rows
        if self._at + _BATCH > n_rows:
            self._rng.permuted(self._rows, axis=1, out=self._rows)
            self._at = 0
        self._at += _BATCH
        return self._rows[:, self._at - _BATCH : self._at]


def _forward(layers: Layers, x: Array) -> list[Array]:
    """The inputs of each layer, `k x b x in`, and at last the outputs, `k x b x m`."""
    values = [x]
    for number, (weights, biases) in enumerate(layers):
        outputs = values[-1] @ weights + biases
        values.append(outputs if number == len(layers) - 1 else np.maximum(outputs, 0.0))
    return values


def _write_gradients(gradients: Layers, layers: Layers, x: Array, y: Array) -> None:
    """Gradients of half the mean squared error, written into `gradients`, which has the layers' shapes.

    Args:
        gradients: Where they go.
        layers: Of `k` members.
        x: A batch of inputs for each member, `k x b x d`.
        y: Their targets, `k x b x m`.
    """
    values = _forward(layers, x)
    error = (values[-1] - y) / y.shape[1]  # k x b x m
    for number in range(len(layers) - 1, -1, -1):
        weights, biases = gradients[number]
        np.matmul(values[number].transpose(0, 2, 1), error, out=weights)
        np.sum(error, axis=1, keepdims=True, out=biases)
        if number:
            error = (error @ layers[number][0].transpose(0, 2, 1)) * (values[number] > 0)
