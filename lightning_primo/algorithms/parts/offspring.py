"""Which network becomes a parent, and what is pruned of it: the random choices of BULK & CUT.

Guerrero-Viu et al. 2021, arXiv 2105.01015, section 3.5 and algorithm 6.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from ConfigSpace import ConfigurationSpace
from ConfigSpace.hyperparameters import Constant, IntegerHyperparameter

from lightning_primo.errors import InvalidArgumentError
from lightning_primo.pareto import fronts
from lightning_primo.problem.architecture import Architecture, LayerKind

_PRUNED_SHARES = {LayerKind.LINEAR: 0.075, LayerKind.CONVOLUTION: 0.1}
_PRUNED_BEFORE_HEAD = 0.05


def pareto_epsilon_greedy(
    losses: npt.NDArray[np.float64],
    stop_probability: float,
    rng: np.random.Generator,
    *,
    weights: npt.NDArray[np.float64] | None = None,
) -> int:
    """A row of one of the first fronts: they are walked from the first, and the walk stops at random (algorithm 6).

    Args:
        losses: Finite losses, `n x m`, `n >= 1`.
        stop_probability: With which the walk stops at each front but the last, where it always does.
        rng: Source of randomness.
        weights: How likely the members of a front are taken, in relation to each other, `n`, not negative. Default,
            and where all of a front are 0: alike.
    """
    *before_last, front = fronts(losses)
    for candidate in before_last:
        if rng.random() < stop_probability:
            front = candidate
            break
    chances = np.ones(len(front)) if weights is None or not weights[front].any() else weights[front]
    return int(rng.choice(front, p=chances / chances.sum()))


def pruned_widths(network: Architecture, space: ConfigurationSpace, rng: np.random.Generator) -> dict[str, int]:
    """The widths of a network after a random share of each layer's units was removed, at least one of all.

    The shares come from triangular distributions on [0, 2 c] with their peak, and so their mean, at c: 5 % of the layer
    that feeds the head, 7.5 % of another linear one, 10 % of a convolution.

    Args:
        network: What is pruned.
        space: Where the widths' lower bounds come from, below which none is pruned.
        rng: Source of randomness.

    Returns:
        The new values by the names of the widths; empty if no layer can lose a unit.

    Raises:
        InvalidArgumentError: If a width is not an integer hyperparameter of the space.
    """
    layers = {layer.width: layer for layer in network.layers}
    spare = {width: max(0, layer.units - max(1, lowest_width(space, width))) for width, layer in layers.items()}
    wanted = {}
    for width, layer in layers.items():
        centre = _PRUNED_BEFORE_HEAD if layer is network.layers[-1] else _PRUNED_SHARES[layer.kind]
        wanted[width] = layer.units * rng.triangular(0, centre, 2 * centre)
    removed = {width: min(round(units), spare[width]) for width, units in wanted.items()}
    if not any(removed.values()):
        shrinkable = [width for width in layers if spare[width]]
        if not shrinkable:
            return {}
        chances = np.array([wanted[width] for width in shrinkable])
        removed[shrinkable[rng.choice(len(shrinkable), p=chances / chances.sum())]] = 1
    return {width: layer.units - removed[width] for width, layer in layers.items()}


def lowest_width(space: ConfigurationSpace, name: str) -> int:
    """The smallest value of a width.

    Raises:
        InvalidArgumentError: If it is not an integer hyperparameter of the space.
    """
    hyperparameter = space.get(name)
    if isinstance(hyperparameter, IntegerHyperparameter):
        return int(hyperparameter.lower)
    if isinstance(hyperparameter, Constant) and isinstance(hyperparameter.value, int):
        return hyperparameter.value
    raise InvalidArgumentError(
        f"the width {name!r} of a layer must be an integer of the space, as units are removed one by one, got "
        f"{hyperparameter!r}; write Integer({name!r}, (lowest, highest))"
    )
