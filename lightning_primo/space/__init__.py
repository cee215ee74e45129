"""The search space as numbers: the encoding of configurations, expert priors on it, and variation operators.

Everything works on whole matrices of ConfigSpace's own vectors (`n x h`, NaN where inactive), because an acquisition
search goes through thousands of candidates per proposal; only finalists become configurations.
"""

from lightning_primo.space.axis import Axis, clip, reflect
from lightning_primo.space.choice_axes import CategoricalAxis
from lightning_primo.space.completion import completed
from lightning_primo.space.encoding import Encoding, check_space
from lightning_primo.space.numerical_axes import IntegerAxis
from lightning_primo.space.prior import EncodedPrior, Prior
from lightning_primo.space.shrinking import shrunk
from lightning_primo.space.variation import crossover, mutate_gaussian, mutate_local, mutate_uniform

__all__ = [
    "Axis",
    "CategoricalAxis",
    "EncodedPrior",
    "Encoding",
    "IntegerAxis",
    "Prior",
    "check_space",
    "clip",
    "completed",
    "crossover",
    "mutate_gaussian",
    "mutate_local",
    "mutate_uniform",
    "reflect",
    "shrunk",
]
