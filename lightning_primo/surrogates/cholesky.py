"""Cholesky factors of covariance matrices, and what is solved with them.

LAPACK is called as it is: of small matrices, checks and conversions would take longer than the work.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.linalg.lapack import dpotrf, dpotrs, dtrtrs

Array = npt.NDArray[np.float64]

_JITTERS = (0.0, 1e-10, 1e-8, 1e-6, 1e-4)


def factor(matrix: Array) -> Array:
    """Lower Cholesky factor, `n x n`, with the least jitter on the diagonal that lets it succeed.

    Raises:
        numpy.linalg.LinAlgError: If none does: the matrix is not positive definite.
    """
    for jitter in _JITTERS:
        root, failed = dpotrf(matrix if jitter == 0.0 else matrix + jitter * np.eye(len(matrix)), lower=1, clean=1)
        if not failed:
            return root  # type: ignore[no-any-return]
    raise np.linalg.LinAlgError("the covariance of the observations is not positive definite")


def solve(root: Array, right: Array) -> Array:
    """`(L L^T)^-1 right`, `n` or `n x k`."""
    return dpotrs(root, right, lower=1)[0]  # type: ignore[no-any-return]


def solve_half(root: Array, right: Array) -> Array:
    """`L^-1 right`, `n` or `n x k`."""
    return dtrtrs(root, right, lower=1)[0]  # type: ignore[no-any-return]
