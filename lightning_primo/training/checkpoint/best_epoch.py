"""Which epoch of a training counts: the last one, or the best by one of its metrics."""

from __future__ import annotations

import math
from collections.abc import Mapping

from lightning_primo.problem.objective import Objective


def counted_epoch(curve: Mapping[int, Mapping[str, float]], epoch: int, by: Objective | None) -> int:
    """The epoch whose weights and values are those of a training up to `epoch`.

    Args:
        curve: The values after each epoch, by epoch and name.
        epoch: The last that was trained, or one before it.
        by: The metric of which the best value counts; None for what the last epoch brought.

    Returns:
        `epoch` without `by`. Else the first epoch with the best value, among those of which all values are finite: an
        epoch without validation has none. Where there is none such, `epoch`.
    """
    if by is None:
        return epoch
    known = [e for e in sorted(curve) if e <= epoch and all(map(math.isfinite, curve[e].values()))]
    return min(known, key=lambda e: by.loss(curve[e][by.name]), default=epoch)
