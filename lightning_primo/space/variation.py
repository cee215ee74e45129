"""Mutation and crossover over whole matrices of vectors; every child is valid.

A child that breaks a forbidden clause, or that a mutation left equal to its parent, is made again from its parent;
where that keeps failing (a parent with hardly a legal neighbour) it is replaced by a random sample.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from lightning_primo.errors import InvalidArgumentError
from lightning_primo.space.axis import Axis, Ends, FloatArray, reflect
from lightning_primo.space.encoding import BoolArray, Encoding

_ROUNDS = 20  # of new children for a parent, and then of random samples


def mutate_uniform(
    encoding: Encoding, vectors: FloatArray, n_hyperparameters: int, rng: np.random.Generator
) -> FloatArray:
    """Samples some hyperparameters of each row again, from their own distributions (SH-EMOA's mutation).

    Args:
        encoding: Of the space.
        vectors: Parents, `n x h`, valid.
        n_hyperparameters: How many active hyperparameters per row, at least 1; all of them where there are fewer.
        rng: Source of randomness.

    Returns:
        Children, `n x h`; equal to their parent only where nothing can be changed.

    Raises:
        InvalidArgumentError: If `n_hyperparameters` is below 1.
    """
    if n_hyperparameters < 1:
        raise InvalidArgumentError(f"'n_hyperparameters' must be at least 1, got {n_hyperparameters!r}")

    def propose(parents: FloatArray) -> FloatArray:
        chosen = _priorities(encoding, parents, rng).argsort(axis=1).argsort(axis=1) < n_hyperparameters
        chosen &= _mutable(encoding, parents)
        return _change(encoding, parents, chosen, lambda axis, column: axis.quantile(rng.random(column.size)), rng)

    return _vary(encoding, vectors, propose, rng, differ=True)


def mutate_local(
    encoding: Encoding, vectors: FloatArray, scale: float, rng: np.random.Generator, *, ends: Ends = reflect
) -> FloatArray:
    """Moves one active hyperparameter of each row, and each other one with probability 1 / (number of active ones).

    Numericals and ordinals take a normal step in the unit interval, of at least one value where they are discrete;
    categoricals another choice.

    Args:
        encoding: Of the space.
        vectors: Parents, `n x h`, valid.
        scale: Standard deviation of the step, positive.
        rng: Source of randomness.
        ends: What a step does that would leave the unit interval. Default: it is reflected, `reflect`; where the best
            value may be the least or the largest one, `clip` reaches both.

    Returns:
        Children, `n x h`; equal to their parent only where nothing can be changed.

    Raises:
        InvalidArgumentError: If `scale` is not positive.
    """
    if not scale > 0:
        raise InvalidArgumentError(f"'scale' must be positive, got {scale!r}")

    def propose(parents: FloatArray) -> FloatArray:
        mutable = _mutable(encoding, parents)
        priorities = _priorities(encoding, parents, rng)
        first = priorities == priorities.min(axis=1, keepdims=True)
        others = rng.random(parents.shape) * mutable.sum(axis=1, keepdims=True) < 1.0
        chosen = (first | others) & mutable
        return _change(encoding, parents, chosen, lambda axis, column: axis.step(column, scale, rng, ends=ends), rng)

    return _vary(encoding, vectors, propose, rng, differ=True)


def mutate_gaussian(encoding: Encoding, vectors: FloatArray, sigma: float, rng: np.random.Generator) -> FloatArray:
    """Adds normal noise to all features of the active hyperparameters, then takes the nearest values (MO-BANANAS).

    Args:
        encoding: Of the space.
        vectors: Parents, `n x h`, valid.
        sigma: Standard deviation of the noise in the unit cube, positive.
        rng: Source of randomness.

    Returns:
        Children, `n x h`; in a discrete space some may equal their parents.

    Raises:
        InvalidArgumentError: If `sigma` is not positive.
    """
    if not sigma > 0:
        raise InvalidArgumentError(f"'sigma' must be positive, got {sigma!r}")

    def propose(parents: FloatArray) -> FloatArray:
        chosen = _mutable(encoding, parents)
        return _change(encoding, parents, chosen, lambda axis, column: axis.jitter(column, sigma, rng), rng)

    return _vary(encoding, vectors, propose, rng, differ=False)


def crossover(encoding: Encoding, a: FloatArray, b: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Takes each hyperparameter from the row of `a` or of `b` with probability 1/2.

    What becomes active comes from the parent in which it was active, and is sampled if it was in neither.

    Args:
        encoding: Of the space.
        a: First parents, `n x h`, valid.
        b: Second parents, `n x h`, valid.
        rng: Source of randomness.

    Returns:
        Children, `n x h`.

    Raises:
        InvalidArgumentError: If `a` and `b` differ in shape.
    """
    if a.shape != b.shape:
        raise InvalidArgumentError(f"'a' and 'b' must have the same shape, got {a.shape} and {b.shape}")

    def propose(parents: FloatArray) -> FloatArray:
        first, second = np.split(parents, 2, axis=1)
        swap = rng.random(first.shape) < 0.5
        first, second = np.where(swap, second, first), np.where(swap, first, second)
        return encoding.resolve(np.where(np.isnan(first), second, first), rng)

    return _vary(encoding, np.concatenate([a, b], axis=1), propose, rng, differ=False)


def _vary(
    encoding: Encoding,
    parents: FloatArray,
    propose: Callable[[FloatArray], FloatArray],
    rng: np.random.Generator,
    *,
    differ: bool,
) -> FloatArray:
    """Children by `propose`, made again where illegal or, if `differ`, equal to a parent that can be changed."""

    def rejected(rows: npt.NDArray[np.intp]) -> BoolArray:
        bad = ~encoding.legal(children[rows])
        if differ:
            same = (children[rows] == parents[rows]) | (np.isnan(children[rows]) & np.isnan(parents[rows]))
            bad |= same.all(axis=1) & _mutable(encoding, parents[rows]).any(axis=1)
        return bad

    children = propose(parents)
    rows = np.arange(len(parents))
    for round_ in range(2 * _ROUNDS):
        rows = rows[rejected(rows)]
        if rows.size == 0:
            break
        children[rows] = propose(parents[rows]) if round_ < _ROUNDS else encoding.sample(rows.size, rng)
    return children


def _mutable(encoding: Encoding, vectors: FloatArray) -> BoolArray:
    """The active hyperparameters that are not constant, `n x h`."""
    return encoding.variable & ~np.isnan(vectors)


def _priorities(encoding: Encoding, vectors: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Random numbers whose order is a random choice among what can be changed; infinite elsewhere, `n x h`."""
    return np.where(_mutable(encoding, vectors), rng.random(vectors.shape), np.inf)


def _change(
    encoding: Encoding,
    parents: FloatArray,
    chosen: BoolArray,
    change: Callable[[Axis, FloatArray], FloatArray],
    rng: np.random.Generator,
) -> FloatArray:
    """Copies of `parents` with the `chosen` entries (`n x h`) changed column by column, and what follows resolved."""
    children = parents.copy()
    for column, axis in enumerate(encoding.axes):
        rows = np.flatnonzero(chosen[:, column])
        if rows.size:
            children[rows, column] = change(axis, children[rows, column])
    return encoding.resolve(children, rng)
