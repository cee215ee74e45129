"""The front of values of which some are noisy: no point is on it only by a difference that their noise explains."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from lightning_primo.pareto.dominance import non_dominated
from lightning_primo.problem.place import UNSTEADY

Array = npt.NDArray[np.float64]


def on_front(losses: Array, deviations: Array) -> npt.NDArray[np.bool_]:
    """Which points are on the front: those that no other one dominates and that are `distinct` among these.

    Points that are dominated change nothing, so a front that is kept while points come may leave them out.

    Args:
        losses: `n x m`; `n` may be 0.
        deviations: As for `distinct`, `n x m`.

    Returns:
        `n` booleans.
    """
    mask = non_dominated(losses)
    mask[mask] = distinct(losses[mask], deviations[mask])
    return mask


def distinct(losses: Array, deviations: Array) -> npt.NDArray[np.bool_]:
    """Which points of a front stay when noisy losses count as equal that differ by no more than their spread.

    The spread of a difference is the root of the sum of squares of the two standard deviations. A point goes if one
    that stays is as good in every loss up to that spread, and better beyond it in at least one, which for an exact loss
    is any difference. Those that go take no other with them: from a long row of points, each within the spread of the
    next, some stay. A spread of more than `UNSTEADY` times the value says nothing of the module, so that it may cost
    its own point the place on the front, and no other.

    Args:
        losses: `n x m`, none of which dominates another; `n` may be 0.
        deviations: Their standard deviations, `n x m`; 0 for exact losses, NaN for unknown ones, which count as 0.

    Returns:
        `n` booleans.
    """
    deviations = np.nan_to_num(deviations, nan=0.0)
    if not deviations.any():
        return np.ones(len(losses), dtype=np.bool_)
    steady = np.where(deviations > UNSTEADY * np.abs(losses), 0.0, deviations)
    noisy = (deviations > 0).any(axis=0)
    stays = np.zeros(len(losses), dtype=np.bool_)
    # What can take a place from another is as good in all exact losses, and so comes first in this order.
    keys = [*losses[:, noisy].T[::-1], *losses[:, ~noisy].T[::-1]]
    order: list[int] = np.lexsort(keys).tolist() if len(losses) else []
    kept, spreads = np.empty_like(losses), np.empty_like(losses)  # of the first `n` rows
    n = 0
    for i in order:
        margins = np.hypot(spreads[:n], deviations[i])  # n x m
        as_good = (kept[:n] <= losses[i] + margins).all(axis=1)
        better = (kept[:n] + margins < losses[i]).any(axis=1)
        if not (as_good & better).any():
            stays[i] = True
            kept[n], spreads[n] = losses[i], steady[i]
            n += 1
    return stays
