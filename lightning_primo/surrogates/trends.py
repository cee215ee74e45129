"""What is believed of a function before any observation; a process is of what is left."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

Trend = Callable[[Array], Array]
"""From features, `q x d`, to what is believed of the function there, `q`."""


def no_trend(x: Array) -> Array:
    """Nothing."""
    return np.zeros(len(x))
