"""Configurations as vectors and as the features of surrogates, thousands at a time.

Configurations (plain dicts) are what users, trials and the store see; *vectors* are what algorithms search in, `n x h`,
as ConfigSpace has them, NaN where a hyperparameter is inactive; *features* are what surrogates see, in [0, 1].
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from ConfigSpace import ConfigurationSpace

from lightning_primo.checks import shown
from lightning_primo.errors import InvalidArgumentError, UnknownNameError
from lightning_primo.space.axis import FloatArray
from lightning_primo.space.clauses import Predicate, compile_condition, compile_forbidden, forbidden_names
from lightning_primo.space.features import FeatureMap
from lightning_primo.space.hyperparameter_axes import axis_of

BoolArray = npt.NDArray[np.bool_]
Config = dict[str, Any]

_MAX_REJECTED = 1 << 17  # draws in a row that break forbidden clauses before giving up
_MAX_BATCH = 1 << 12
_REPAIR_ROUNDS = 10
_DRAW_ROUNDS = 50  # of drawing forbidden rows again


class Encoding:
    """The maps between configurations, vectors and features of one search space.

    The vectors made here are canonical: equal configurations have bit-identical vectors. The space is neither changed
    nor its random state used; it must not be changed as long as its encoding is in use.

    >>> import numpy as np
    >>> from ConfigSpace import ConfigurationSpace
    >>> encoding = Encoding(ConfigurationSpace({"lr": (1e-5, 1e-1), "layers": (1, 3), "pool": ["max", "mean"]}))
    >>> vector = encoding.vector({"lr": 0.001, "layers": 2, "pool": "mean"})
    >>> encoding.config(vector)
    {'layers': 2, 'lr': 0.001, 'pool': 'mean'}

    Args:
        space: The search space: conditions, conjunctions and forbidden clauses included.

    Attributes:
        space: The search space.
        names: The hyperparameters, in the order of the space (parents before their children).
        axes: One `Axis` per hyperparameter, in that order.
        dimensions: Number of hyperparameters that are not constant: the `d` of the algorithms.
        variable: Which hyperparameters are not constant, `h`.
        n_features: Number of feature columns.
        feature_groups: For each feature column the number of its hyperparameter, `n_features`.

    Raises:
        InvalidArgumentError: If `space` is not a ConfigurationSpace, is empty, or has parts of an unknown type.
    """

    def __init__(self, space: ConfigurationSpace) -> None:
        if not isinstance(space, ConfigurationSpace):
            raise InvalidArgumentError(
                f"'space' must be a ConfigSpace.ConfigurationSpace, got {shown(space)}; "
                "write ConfigurationSpace({'lr': (1e-5, 1e-1), ...})"
            )
        if len(space) == 0:
            raise InvalidArgumentError("'space' has no hyperparameters; add at least one to search over")
        self.space = space
        self.names = tuple(space)
        self.axes = tuple(axis_of(space[name]) for name in self.names)
        self.variable = np.array([axis.variable for axis in self.axes])
        self.dimensions = int(self.variable.sum())

        self._column = {name: column for column, name in enumerate(self.names)}
        columns = {name: (column, self.axes[column]) for name, column in self._column.items()}
        self._condition: list[tuple[Any, Predicate] | None] = [None] * len(self.names)
        for column, name in enumerate(self.names):
            for condition in space.parent_conditions_of[name]:  # ConfigSpace lets a child have at most one
                self._condition[column] = (condition, compile_condition(condition, columns))
        self._clauses: list[tuple[object, Predicate, npt.NDArray[np.intp]]] = [
            (clause, compile_forbidden(clause, columns), self._columns_of(set(forbidden_names(clause))))
            for clause in space.forbidden_clauses
        ]

        self._features = FeatureMap(self.axes)
        self.n_features = self._features.n_columns
        self.feature_groups = self._features.groups

    def vector(self, config: Mapping[str, Any]) -> FloatArray:
        """The vector of `config`, `h`; see `vectors`."""
        return self.vectors([config]).reshape(-1)

    def vectors(self, configs: Sequence[Mapping[str, Any]]) -> FloatArray:
        """The vectors of `configs`, `n x h`.

        Floats are rounded to 12 significant digits.

        Raises:
            UnknownNameError: If a configuration has a hyperparameter that is not in the space.
            InvalidArgumentError: If a value is illegal, an active hyperparameter is missing, an inactive one is given,
                or a forbidden clause is broken.
        """
        for config in configs:
            for name in config:
                if name not in self._column:
                    raise UnknownNameError("hyperparameter in the configuration", name, self.names)
        vectors = np.full((len(configs), len(self.names)), np.nan)
        for column, (name, axis) in enumerate(zip(self.names, self.axes, strict=True)):
            rows = [row for row, config in enumerate(configs) if name in config]
            vectors[rows, column] = axis.encode([configs[row][name] for row in rows])
        self._check_activity(vectors)
        for clause, forbids, _ in self._clauses:
            if forbids(vectors).any():
                config = configs[int(np.argmax(forbids(vectors)))]
                raise InvalidArgumentError(f"the configuration {dict(config)} breaks the space's clause ({clause})")
        return vectors

    def config(self, vector: FloatArray) -> Config:
        """The active hyperparameters of `vector` (`h`) as plain Python values; see `configs`."""
        return self.configs(vector[None])[0]

    def configs(self, vectors: FloatArray) -> list[Config]:
        """The configurations of `vectors`, `n x h`: Python ints, floats, bools and strings, or the space's own objects.

        ``configs(vectors(c)) == c`` for every `c` that comes from here or whose floats have up to 12 digits.
        """
        self._check_shape(vectors)
        configs: list[Config] = [{} for _ in vectors]
        for column, (name, axis) in enumerate(zip(self.names, self.axes, strict=True)):
            rows = np.flatnonzero(~np.isnan(vectors[:, column]))
            for row, value in zip(rows.tolist(), axis.decode(vectors[rows, column]), strict=True):
                configs[row][name] = value
        return configs

    def key(self, config: Mapping[str, Any]) -> str:
        """A canonical JSON string: equal for equal configurations, however their values are written."""
        return self.keys([config])[0]

    def keys(self, configs: Sequence[Mapping[str, Any]]) -> list[str]:
        """The `key` of each of many configurations, which takes less time than one by one."""
        return self.keys_of(self.vectors(configs))

    def keys_of(self, vectors: FloatArray) -> list[str]:
        """The `key` of the configuration of each of `vectors`, `n x h`."""
        return [json.dumps(config, default=repr) for config in self.configs(vectors)]

    def features(self, vectors: FloatArray) -> FloatArray:
        """The features of `vectors` (`n x h`) for surrogates, `n x n_features` in [0, 1].

        Numericals as they are, ordinals by their index / (k - 1), two choices as 0 or 1, more choices one-hot,
        constants left out. An inactive hyperparameter gets the middle of its range: 0.5, or 1 / k for each of k
        choices.
        """
        self._check_shape(vectors)
        return self._features(vectors)

    def sample(self, n: int, rng: np.random.Generator) -> FloatArray:
        """`n` vectors, `n x h`, from the distributions of the hyperparameters, free of what is forbidden.

        Raises:
            InvalidArgumentError: If the forbidden clauses leave nothing to be found.
        """
        if not self._clauses:
            return self.from_unit(rng.random((n, len(self.names))))
        accepted: list[FloatArray] = []
        missing, batch, rejected = n, max(n, 16), 0
        while missing > 0:
            drawn = self.from_unit(rng.random((batch, len(self.names))))
            rows = drawn[self.legal(drawn)][:missing]
            accepted.append(rows)
            missing -= len(rows)
            rejected = 0 if len(rows) else rejected + batch
            if rejected >= _MAX_REJECTED:
                raise InvalidArgumentError(
                    f"'space' gave no legal configuration in {rejected} samples: its {len(self._clauses)} forbidden "
                    "clauses exclude nearly everything; loosen them, or express them by narrower ranges"
                )
            batch = min(max(2 * batch, missing), max(n, _MAX_BATCH))
        return np.concatenate([np.empty((0, len(self.names))), *accepted])

    def from_unit(self, u: FloatArray) -> FloatArray:
        """Points of the unit cube, `n x h` in [0, 1), through each hyperparameter's quantile function; `n x h` vectors.

        Uniform hyperparameters get equal bins, weighted, normal and beta ones their own distribution. What is then
        inactive is NaN. Forbidden clauses are not looked at: drop the rows outside of `legal`, or `repair` them.
        """
        self._check_shape(u)
        vectors = np.empty_like(u)
        for column, axis in enumerate(self.axes):
            vectors[:, column] = axis.quantile(u[:, column])
        return self._deactivate(vectors)[0]

    def active(self, vectors: FloatArray) -> BoolArray:
        """Which hyperparameters the values in `vectors` (`n x h`) make active, `n x h`."""
        self._check_shape(vectors)
        return self._deactivate(vectors.copy())[1]

    def legal(self, vectors: FloatArray) -> BoolArray:
        """Which of the `vectors` (`n x h`) break no forbidden clause, `n`."""
        self._check_shape(vectors)
        forbidden = np.zeros(len(vectors), dtype=bool)
        for _, forbids, _ in self._clauses:
            forbidden |= forbids(vectors)
        return ~forbidden

    def resolve(self, vectors: FloatArray, rng: np.random.Generator) -> FloatArray:
        """A copy of `vectors` (`n x h`, canonical) with inactive values removed and missing active ones sampled."""
        self._check_shape(vectors)
        vectors = vectors.copy()
        for column, (axis, condition) in enumerate(zip(self.axes, self._condition, strict=True)):
            values = vectors[:, column]
            missing = np.isnan(values)
            if condition is not None:
                active = condition[1](vectors)
                values[~active] = np.nan
                missing &= active
            n_missing = np.count_nonzero(missing)
            if n_missing:
                values[missing] = axis.quantile(rng.random(n_missing))
        return vectors

    def repair(self, vectors: FloatArray, rng: np.random.Generator) -> FloatArray:
        """Valid vectors, `n x h`, as near to `vectors` (`n x h`, NaN where unknown) as the space allows.

        Values are rounded to legal ones, inactive ones removed and missing active ones sampled, from parents to
        children. In rows that break a forbidden clause the clause's hyperparameters are sampled again, at last all.
        """
        self._check_shape(vectors)
        vectors = vectors.copy()
        for column, axis in enumerate(self.axes):
            known = ~np.isnan(vectors[:, column])
            vectors[known, column] = axis.canonical(vectors[known, column])
        vectors = self.resolve(vectors, rng)
        illegal = np.flatnonzero(~self.legal(vectors))
        for _ in range(_REPAIR_ROUNDS):
            if illegal.size == 0:
                return vectors
            rows = vectors[illegal]
            for _, forbids, columns in self._clauses:
                rows[np.ix_(forbids(rows), columns)] = np.nan
            vectors[illegal] = self.resolve(rows, rng)
            illegal = illegal[~self.legal(vectors[illegal])]
        vectors[illegal] = self.sample(illegal.size, rng)
        return vectors

    def draw_legal(self, draw: Callable[[int], FloatArray], n: int, rng: np.random.Generator) -> FloatArray:
        """`n` valid vectors, `n x h`, from a distribution, those that are forbidden drawn again.

        Where the distribution sits on what is forbidden, rows are repaired in the end.

        Args:
            draw: Gives `k` vectors that are valid but for forbidden clauses, `k x h`.
            n: How many to return.
            rng: For the repair.
        """
        vectors = draw(n)
        for _ in range(_DRAW_ROUNDS):
            forbidden = np.flatnonzero(~self.legal(vectors))
            if forbidden.size == 0:
                return vectors
            vectors[forbidden] = draw(forbidden.size)
        return self.repair(vectors, rng)

    def _deactivate(self, vectors: FloatArray) -> tuple[FloatArray, BoolArray]:
        """Sets inactive entries of `vectors` to NaN, in place; also the mask of active ones."""
        active = np.ones(vectors.shape, dtype=bool)
        for column, condition in enumerate(self._condition):
            if condition is not None:
                active[:, column] = condition[1](vectors)
                vectors[~active[:, column], column] = np.nan
        return vectors, active

    def _check_activity(self, vectors: FloatArray) -> None:
        """Raises for the first hyperparameter, parents before children, that is missing or given while inactive."""
        given, active = ~np.isnan(vectors), self.active(vectors)
        for column in np.flatnonzero((given != active).any(axis=0))[:1]:
            name, axis, condition = self.names[column], self.axes[column], self._condition[column]
            if (active & ~given)[:, column].any():
                raise InvalidArgumentError(f"hyperparameter {name!r} is active but missing; expected {axis.domain}")
            raise InvalidArgumentError(
                f"hyperparameter {name!r} is given but inactive, as it needs {condition and condition[0]}; leave it out"
            )

    def _columns_of(self, names: set[str]) -> npt.NDArray[np.intp]:
        return np.array(sorted(self._column[name] for name in names), dtype=np.intp)

    def _check_shape(self, vectors: FloatArray) -> None:
        if vectors.ndim != 2 or vectors.shape[1] != len(self.names):
            raise InvalidArgumentError(f"'vectors' must have the shape (n, {len(self.names)}), got {vectors.shape}")


def check_space(space: ConfigurationSpace) -> None:
    """Checks that `space` can be searched.

    Raises:
        InvalidArgumentError: If it is not a ConfigurationSpace, is empty, or no legal configuration can be sampled.
    """
    Encoding(space).sample(1, np.random.default_rng(0))
