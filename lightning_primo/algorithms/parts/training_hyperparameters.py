"""Which hyperparameters say nothing about a network, but how it is trained, so that they may change meanwhile."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lightning_primo.algorithms.parts.exploration import ordered_names
from lightning_primo.checks import shown
from lightning_primo.errors import InvalidArgumentError, UnknownNameError
from lightning_primo.problem import Problem
from lightning_primo.problem.trial import Config
from lightning_primo.space import Encoding

_PROBES = (0.25, 0.75)  # quantiles


class TrainingHyperparameters:
    """The hyperparameters that may change while a network is trained.

    They are those that are named, or else the rule finds them: all that have an order (numbers and ordinals) of which
    another value leaves the text of `Problem.network` as it is. Choices without an order are left out: most say which
    optimiser or schedule there is, whose state means nothing to another one.

    Args:
        problem: What is searched.
        encoding: Of its space.
        named: The names, or None for the rule.
    """

    def __init__(self, problem: Problem, encoding: Encoding, named: Sequence[str] | None) -> None:
        self._problem = problem
        self._encoding = encoding
        self._named = None if named is None else tuple(named)
        self._found: dict[str, tuple[str, ...]] = {}
        for name in self._named or ():
            if name not in encoding.names:
                raise UnknownNameError("hyperparameter in 'hyperparameters'", name, encoding.names)

    def of(self, config: Config) -> tuple[str, ...]:
        """Those of the network of `config`; some of them may be inactive."""
        if self._named is not None:
            return self._named
        network = self._network(config)
        if network is None:
            return ordered_names(self._encoding)
        if network not in self._found:
            names = ordered_names(self._encoding)
            self._found[network] = tuple(name for name in names if self._is_of_training(name, config, network))
        return self._found[network]

    def leave_network(self, config: Config, other: Config) -> bool:
        """Whether both have the same network, as far as the rule looks."""
        return self._named is not None or self._network(config) == self._network(other)

    def _is_of_training(self, name: str, config: Config, network: str) -> bool:
        if name not in config:
            return True  # it says nothing about this network
        column = self._encoding.names.index(name)
        vector = self._encoding.vector(config)
        probes = []
        for value in self._encoding.axes[column].quantile(np.array(_PROBES)):
            probe = vector.copy()
            probe[column] = value
            probes.append(self._encoding.resolve(probe[None], np.random.default_rng(0))[0])
        return all(self._network(other) == network for other in self._encoding.configs(np.array(probes)))

    def _network(self, config: Config) -> str | None:
        if self._problem.network is None:
            return None
        try:
            return self._problem.network(config)
        except InvalidArgumentError as error:
            return f"none: {error}"


def check_names(names: Sequence[str] | None) -> tuple[str, ...] | None:
    """The names of hyperparameters as a tuple, None for None.

    Raises:
        InvalidArgumentError: If they are no sequence of strings, or empty.
    """
    if names is None:
        return None
    strings = isinstance(names, (list, tuple)) and all(isinstance(name, str) for name in names)
    if not strings or not names:
        raise InvalidArgumentError(
            f"'hyperparameters' must be a list of names such as ['lr', 'weight_decay'], or None for all that leave the "
            f"network as it is, got {shown(names)}"
        )
    return tuple(names)
