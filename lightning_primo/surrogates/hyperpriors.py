"""What is believed of the hyperparameters of Gaussian processes on features in [0, 1] and standardised outputs.

Those of BoTorch's `SingleTaskGP`: log-normal length scales that grow with the square root of the number of features
(Hvarfner et al. 2024, arXiv 2402.02229), and a log-normal noise.
"""

from __future__ import annotations

import math

LENGTH_SCALE_SPREAD = math.sqrt(3)
"""Scale of the log-normal distribution of a length scale."""

NOISE_LOCATION, NOISE_SPREAD = -4.0, 1.0
"""Location and scale of the log-normal distribution of the noise's variance."""

LENGTH_SCALES = (0.025, 100.0)
NOISES = (1e-4, 1.0)
"""The least and the greatest that are looked at."""


def length_scale_location(d: int) -> float:
    """Location of the log-normal distribution of a length scale, of `d` features."""
    return math.sqrt(2) + 0.5 * math.log(d)


def logarithms(bounds: tuple[float, float]) -> tuple[float, float]:
    """Of both bounds."""
    return math.log(bounds[0]), math.log(bounds[1])
