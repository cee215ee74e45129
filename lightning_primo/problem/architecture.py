"""What an algorithm that grows and prunes networks may know of the network of a configuration."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from lightning_primo.problem.trial import Config


class LayerKind(str, Enum):
    """What a layer's units are."""

    CONVOLUTION = "convolution"
    """Filters."""
    LINEAR = "linear"
    """Neurons."""


@dataclass(frozen=True, kw_only=True)
class Layer:
    """A layer whose width is a hyperparameter.

    Args:
        width: Name of the hyperparameter that holds its number of units.
        units: Its value.
        kind: What the units are.
    """

    width: str
    units: int
    kind: LayerKind


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """The network of a configuration, as a chain of layers that ends in a head.

    Args:
        layers: Those before the head, from the input on.
        n_parameters: Parameters of the whole network.
        deeper: The configurations with one layer more whose network can begin as the same function; they may lie
            outside the search space.
        training: The hyperparameters that say nothing about the network, such as the learning rate.
    """

    layers: tuple[Layer, ...]
    n_parameters: int
    deeper: tuple[Config, ...] = ()
    training: tuple[str, ...] = ()


ArchitectureOracle = Callable[[Config], Architecture]
"""The architecture of a configuration; it may be slow (milliseconds) but caches.

It raises an InvalidArgumentError if the user's module does not tell.
"""

NetworkOracle = Callable[[Config], str]
"""A text that tells the network of a configuration: configurations of one text differ in how they are trained alone.

The weights of one then fit the other. It may be slow (milliseconds) but caches; where a network cannot be built it
raises an InvalidArgumentError.
"""
