"""The joint search space of architecture and hyperparameters that belongs to `ConvNet`."""

from __future__ import annotations

from typing import Any

from ConfigSpace import Categorical, ConfigurationSpace, Constant, Float, GreaterThanCondition, Integer
from ConfigSpace.hyperparameters import Hyperparameter


def conv_net_space(
    *,
    seed: int | None = None,
    max_conv: int = 3,
    max_filters: int = 1024,
    max_fc: int = 3,
    max_neurons: int = 512,
    min_batch_size: int = 1,
    max_batch_size: int = 512,
    min_lr: float = 1e-5,
    max_lr: float = 1.0,
) -> ConfigurationSpace:
    """The 13 hyperparameters of Guerrero-Viu et al. (2021, table 2), the width of a layer active if the layer exists.

    The defaults are the paper's ranges; smaller ones make a search quicker. The hyperparameters are `n_conv`,
    `n_filters_1` to `n_filters_3`, `kernel_size`, `batch_norm`, `global_average_pooling`, `n_fc`, `n_neurons_1` to
    `n_neurons_3`, `lr` and `batch_size`; one with a single value left is a constant.

    Args:
        seed: Seed of the space's own sampling.
        max_conv: Most convolutions. Each halves the image, which must have `2 ** max_conv` pixels a side.
        max_filters: Most filters of a convolution, from 16.
        max_fc: Most fully connected layers.
        max_neurons: Most neurons of a fully connected layer, from 2.
        min_batch_size: Smallest batch.
        max_batch_size: Largest batch.
        min_lr: Smallest learning rate.
        max_lr: Largest learning rate.

    Raises:
        ValueError: For a range without a value.
    """
    if not 0 < min_lr < max_lr:
        raise ValueError(f"'min_lr' and 'max_lr' must satisfy 0 < min_lr < max_lr, got {min_lr:g} and {max_lr:g}")
    if min_batch_size < 1:
        raise ValueError(f"'min_batch_size' must be at least 1, got {min_batch_size}")
    space = ConfigurationSpace(seed=seed)
    _add_layers(space, "conv", max_conv, "filters", (16, max_filters))
    space.add(
        Categorical("kernel_size", [3, 5, 7], ordered=True, default=3),
        Categorical("batch_norm", [True, False], default=True),
        Categorical("global_average_pooling", [True, False], default=True),
    )
    _add_layers(space, "fc", max_fc, "neurons", (2, max_neurons))
    space.add(
        Float("lr", (min_lr, max_lr), log=True, default=min(max(1e-3, min_lr), max_lr)),
        _integer("batch_size", (min_batch_size, max_batch_size), log=True, cap="max_batch_size"),
    )
    return space


def _add_layers(space: ConfigurationSpace, layer: str, most: int, unit: str, widths: tuple[int, int]) -> None:
    """Adds the number of layers and the width of each, which is active where the layer exists."""
    depth = _integer(f"n_{layer}", (1, most), log=False, cap=f"max_{layer}")
    layers = [_integer(f"n_{unit}_{i}", widths, log=True, cap=f"max_{unit}") for i in range(1, most + 1)]
    space.add(depth, *layers)
    space.add(*(GreaterThanCondition(layers[i], depth, i) for i in range(1, most)))


def _integer(name: str, bounds: tuple[int, int], *, log: bool, cap: str) -> Hyperparameter[Any, Any]:
    lower, upper = bounds
    if upper < lower:
        raise ValueError(f"{cap!r} must be at least {lower}, the smallest value of {name!r}, got {upper}")
    return Constant(name, lower) if lower == upper else Integer(name, bounds, log=log)
