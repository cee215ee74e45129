"""Constrained domination: losses whose Pareto order is that of feasible and infeasible points together.

Deb, Pratap, Agarwal, Meyarivan 2002, "A Fast and Elitist Multiobjective Genetic Algorithm: NSGA-II", IEEE Transactions
on Evolutionary Computation 6(2), section VI: what is feasible dominates what is not; of two infeasible points the one
that breaks the bounds less dominates; feasible ones are compared by their losses.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


def excess(scaled: Array, low: Array, high: Array) -> Array:
    """How far quantities are beyond their bounds; 0 within them, and for NaN, of which nothing is known.

    Args:
        scaled: Scaled losses of the bounded quantities, `n x c`.
        low: The lowest that are allowed, `c` or `n x c`; -infinity for no bound.
        high: The highest, alike.
    """
    return np.nan_to_num(np.maximum(np.maximum(low - scaled, scaled - high), 0.0), nan=0.0)


def constrained_losses(losses: Array, excesses: Array) -> Array:
    """Losses of which an infeasible row is replaced by one that is worse than all feasible ones in every objective.

    Infeasible rows lie on a line behind the feasible ones, the farther the more they break the bounds, so that any
    ranking by dominance of what is returned is one by constrained domination. How much a row breaks them is the sum
    over the constraints, each as a share of the largest excess among the rows.

    Args:
        losses: Scaled losses, `n x m`; a row with NaN (a failed trial) stays as it is.
        excesses: As from `excess`, `n x c`; a row of zeros is feasible.

    Returns:
        `n x m`.
    """
    known: npt.NDArray[np.bool_] = np.asarray(~np.isnan(losses).any(axis=1))
    excesses = np.where(known[:, None], excesses, 0.0)
    largest = excesses.max(axis=0, initial=0.0)
    violation = (excesses / np.where(largest > 0, largest, 1.0)).sum(axis=1)
    infeasible = violation > 0
    if not infeasible.any():
        return losses
    compared = losses[known & ~infeasible] if (known & ~infeasible).any() else losses[known]
    low, high = compared.min(axis=0), compared.max(axis=0)
    width = np.where(high > low, high - low, 1.0)
    return np.where(infeasible[:, None], high + width * violation[:, None], losses)
