"""An expert's belief where the good configurations of one objective lie.

The priors of PriMO: Basu, Hutter, Stoll 2025, arXiv 2511.08371.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from ConfigSpace import ConfigurationSpace

from lightning_primo.checks import as_float, shown
from lightning_primo.errors import InvalidArgumentError, UnknownNameError
from lightning_primo.space.axis import Axis, FloatArray
from lightning_primo.space.choice_axes import CategoricalAxis
from lightning_primo.space.encoding import Encoding
from lightning_primo.space.hyperparameter_axes import axis_of
from lightning_primo.space.numerical_axes import IntegerAxis
from lightning_primo.space.truncated_normal import UnitTruncatedNormal

_MAX_TABLE = 1 << 16  # integers with more values are drawn as if they were continuous


@dataclass(frozen=True)
class Prior:
    """A guess at good values, and how sure one is of it.

    In the unit cube each hyperparameter of `center` has a normal around its value, truncated to [0, 1], of standard
    deviation ``1 - confidence``; logarithms are taken where the space has them, ordinals lie at their index / (k - 1).
    Of a categorical with k choices the centre's choice has the probability ``max(confidence, 1 / k)``, the others share
    the rest equally. (The paper has `confidence` there; with few choices and a low confidence that would make the
    expert's choice the least likely one, so it is bounded from below by the uniform probability.) Hyperparameters that
    are not in the centre are uniform.

    >>> Prior({"lr": 1e-3, "layers": 2}, confidence=0.5)
    Prior(center={'lr': 0.001, 'layers': 2}, confidence=0.5)

    Args:
        center: Values of some or all hyperparameters, by name.
        confidence: From 0 to below 1; the paper's low, medium and high are 0.25, 0.5 and 0.75.

    Raises:
        InvalidArgumentError: For an empty centre or a confidence out of its range.
    """

    center: Mapping[str, Any]
    confidence: float = 0.75

    def __post_init__(self) -> None:
        if not isinstance(self.center, Mapping) or not self.center or not all(isinstance(n, str) for n in self.center):
            raise InvalidArgumentError(
                f"'center' of a prior must map hyperparameters to values, got {shown(self.center)}; name at least one, "
                "or leave the prior out"
            )
        if not 0 <= as_float(self.confidence) < 1:
            raise InvalidArgumentError(f"'confidence' of a prior must be in [0, 1), got {shown(self.confidence)}")
        object.__setattr__(self, "center", dict(self.center))  # the caller's mapping may change later

    def __hash__(self) -> int:
        return hash((frozenset(self.center), self.confidence))  # the values need not be hashable

    def check(self, space: ConfigurationSpace, objective: str) -> None:
        """Checks the centre against `space`.

        Args:
            space: The search space.
            objective: Name of the prior's objective, for the message.

        Raises:
            UnknownNameError: If a hyperparameter is not in the space.
            InvalidArgumentError: If a value is illegal.
        """
        for name, value in self.center.items():
            if name not in space:
                raise UnknownNameError(f"hyperparameter in the prior of objective {objective!r}", name, space)
            axis = axis_of(space[name])
            if not axis.accepts(value):
                raise InvalidArgumentError(
                    f"the prior of objective {objective!r} puts hyperparameter {name!r} at {value!r}; "
                    f"expected {axis.domain}"
                )


class EncodedPrior:
    """A prior on the vectors of one encoding: density and samples, with everything computed once.

    Args:
        prior: The prior.
        encoding: Of the space.

    Raises:
        UnknownNameError: If the centre has a hyperparameter that is not in the space.
        InvalidArgumentError: If a value of the centre is illegal.
    """

    def __init__(self, prior: Prior, encoding: Encoding) -> None:
        self.prior = prior
        self.encoding = encoding
        self._quantiles: dict[int, Callable[[FloatArray], FloatArray]] = {}
        self._log_masses: list[tuple[int, FloatArray]] = []
        self._centers: dict[int, float] = {}
        ordered: list[int] = []
        centers: list[float] = []
        for name, value in prior.center.items():
            if name not in encoding.names:
                raise UnknownNameError("hyperparameter in the prior", name, encoding.names)
            column = encoding.names.index(name)
            axis = encoding.axes[column]
            vector = float(axis.encode([value])[0])
            if not axis.variable:
                continue
            self._centers[column] = vector
            if isinstance(axis, CategoricalAxis):
                masses = _categorical_masses(axis.size, int(vector), prior.confidence)
                self._log_masses.append((column, np.log(masses * axis.size)))
                self._quantiles[column] = _table(np.arange(axis.size, dtype=np.float64), masses)
            else:
                ordered.append(column)
                centers.append(vector / axis.span)
                self._quantiles[column] = _quantile(axis, vector / axis.span, 1.0 - prior.confidence)
        self._ordered = np.array(ordered, dtype=np.intp)
        self._spans = np.array([encoding.axes[column].span for column in ordered])
        self._normals = UnitTruncatedNormal(centers, 1.0 - prior.confidence)

    def log_density(self, vectors: FloatArray) -> FloatArray:
        """Log densities of `vectors` (`n x h`), `n`: a sum over the centre's hyperparameters that are active in a row.

        Each is relative to the uniform distribution: numericals and ordinals contribute their density in the unit
        interval, categoricals with k choices k times their probability, inactive and unnamed hyperparameters nothing.
        """
        densities = self._normals.logpdf(vectors[:, self._ordered] / self._spans)  # n x len(ordered)
        total: FloatArray = np.where(np.isnan(densities), 0.0, densities).sum(axis=1)
        for column, log_masses in self._log_masses:
            codes = vectors[:, column]
            known = ~np.isnan(codes)
            total[known] += log_masses[codes[known].astype(np.intp)]
        return total

    def center(self, rng: np.random.Generator) -> FloatArray:
        """The centre as a vector, `h`; what it leaves open is drawn as the space has it, conditions are kept."""

        def draw(n: int) -> FloatArray:
            vectors = np.empty((n, len(self.encoding.axes)))
            for column, axis in enumerate(self.encoding.axes):
                vectors[:, column] = axis.quantile(rng.random(n))
            vectors[:, list(self._centers)] = list(self._centers.values())
            return self.encoding.resolve(vectors, rng)

        vector: FloatArray = self.encoding.draw_legal(draw, 1, rng)[0]
        return vector

    def sample(self, n: int, rng: np.random.Generator) -> FloatArray:
        """`n` vectors, `n x h`, from the prior; inactive values are removed and forbidden rows drawn again.

        Where a confident prior sits on what is forbidden, the rows are repaired in the end.
        """
        return self.encoding.draw_legal(lambda k: self._draw(k, rng), n, rng)

    def _draw(self, n: int, rng: np.random.Generator) -> FloatArray:
        u = rng.random((n, len(self.encoding.axes)))
        vectors = np.empty_like(u)
        for column, axis in enumerate(self.encoding.axes):
            vectors[:, column] = self._quantiles.get(column, axis.quantile)(u[:, column])
        return self.encoding.resolve(vectors, rng)


def _categorical_masses(n_choices: int, center: int, confidence: float) -> FloatArray:
    mass = max(confidence, 1.0 / n_choices)
    masses = np.full(n_choices, (1.0 - mass) / (n_choices - 1))
    masses[center] = mass
    return masses


def _quantile(axis: Axis, center: float, std: float) -> Callable[[FloatArray], FloatArray]:
    """Quantile function of the truncated normal on `axis`, in vectors."""
    normal = UnitTruncatedNormal(center, std)
    if axis.size is None or axis.size > _MAX_TABLE:
        return lambda u: axis.discretise(normal.ppf(u))
    # Few values lie far apart, so their probabilities are taken at the values, where the density is, and not over bins.
    if isinstance(axis, IntegerAxis):
        vectors = axis.discretise(np.cumsum(axis.bin_widths()) - axis.bin_widths() / 2.0)
        base = axis.bin_widths()
    else:
        vectors = np.arange(axis.size, dtype=np.float64)
        base = np.ones(axis.size)
    masses = base * np.exp(normal.logpdf(vectors / axis.span))
    return _table(vectors, masses / masses.sum())


def _table(vectors: FloatArray, masses: FloatArray) -> Callable[[FloatArray], FloatArray]:
    """Quantile function of the distribution with `masses` at `vectors`."""
    cumulative = np.cumsum(masses)
    last = int(np.flatnonzero(masses > 0)[-1])  # the sum may round below one
    return lambda u: vectors[np.minimum(np.searchsorted(cumulative, u, side="right"), last)]
