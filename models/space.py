"""The joint search space of architecture and hyperparameters that belongs to `ConvNet`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ConfigSpace import Categorical, ConfigurationSpace, Constant, Float, GreaterThanCondition, Integer
from ConfigSpace.hyperparameters import Hyperparameter


def conv_net_space(
    *,
    seed: int | None = None,
    max_conv: int = 3,
    min_filters: int = 16,
    max_filters: int = 1024,
    max_fc: int = 3,
    max_neurons: int = 512,
    min_batch_size: int = 1,
    max_batch_size: int = 512,
    min_lr: float = 1e-5,
    max_lr: float = 1.0,
    optional_pooling: bool = False,
) -> ConfigurationSpace:
    """The 13 hyperparameters of Guerrero-Viu et al. (2021, table 2), the width of a layer active if the layer exists.

    The defaults are the paper's ranges; smaller ones make a search quicker. The hyperparameters are `n_conv`,
    `n_filters_1` to `n_filters_3`, `kernel_size`, `batch_norm`, `global_average_pooling`, `n_fc`, `n_neurons_1` to
    `n_neurons_3`, `lr` and `batch_size`; one with a single value left is a constant.

    Args:
        seed: Seed of the space's own sampling.
        max_conv: Most convolutions. Each halves the image, which must have `2 ** max_conv` pixels a side.
        min_filters: Fewest filters of a convolution.
        max_filters: Most filters of a convolution.
        max_fc: Most fully connected layers.
        max_neurons: Most neurons of a fully connected layer, from 2.
        min_batch_size: Smallest batch.
        max_batch_size: Largest batch.
        min_lr: Smallest learning rate.
        max_lr: Largest learning rate.
        optional_pooling: Whether there is also `pool_i` for each convolution, active like its filters: True, the
            default, in every random sample, while False is legal. `deeper_conv_nets` needs it to add convolutions.

    Raises:
        ValueError: For a range without a value.
    """
    if not 0 < min_lr < max_lr:
        raise ValueError(f"'min_lr' and 'max_lr' must satisfy 0 < min_lr < max_lr, got {min_lr:g} and {max_lr:g}")
    if min_batch_size < 1:
        raise ValueError(f"'min_batch_size' must be at least 1, got {min_batch_size}")
    space = ConfigurationSpace(seed=seed)
    _add_layers(space, "conv", max_conv, "filters", (min_filters, max_filters))
    if optional_pooling:
        pools = [Categorical(f"pool_{i}", [True, False], weights=[1, 0], default=True) for i in range(1, max_conv + 1)]
        _add_per_layer(space, "n_conv", pools)
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


def deeper_conv_nets(config: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The configurations with one layer more that can be set to the identity, without duplicates.

    A convolution fits after each convolution, with as many filters, and takes over its pooling (`pool_i`, which is
    False for the old one); a fully connected layer after each fully connected layer, with as many neurons.

    Args:
        config: Of `conv_net_space`. The result may lie outside of it: too deep, or with a `pool_i` it does not have.
    """
    filled = {f"pool_{i}": True for i in range(1, config["n_conv"] + 1)} | dict(config)
    deeper: list[dict[str, Any]] = []
    for depth, names in (("n_conv", ("n_filters", "pool")), ("n_fc", ("n_neurons",))):
        for place in range(1, config[depth] + 1):
            longer = {**config, depth: config[depth] + 1}
            for name in names:
                values = [filled[f"{name}_{i}"] for i in range(1, config[depth] + 1)]
                values.insert(place, values[place - 1])
                longer |= {f"{name}_{i}": value for i, value in enumerate(values, 1)}
            if depth == "n_conv":
                longer[f"pool_{place}"] = False
            if longer not in deeper:
                deeper.append(longer)
    return deeper


def _add_layers(space: ConfigurationSpace, layer: str, most: int, unit: str, widths: tuple[int, int]) -> None:
    """Adds the number of layers and the width of each, which is active where the layer exists."""
    depth = _integer(f"n_{layer}", (1, most), log=False, cap=f"max_{layer}")
    layers = [_integer(f"n_{unit}_{i}", widths, log=True, cap=f"max_{unit}") for i in range(1, most + 1)]
    space.add(depth)
    _add_per_layer(space, depth.name, layers)


def _add_per_layer(space: ConfigurationSpace, depth: str, layers: Sequence[Hyperparameter[Any, Any]]) -> None:
    """Adds one hyperparameter per layer, which is active where the layer exists."""
    space.add(*layers)
    space.add(*(GreaterThanCondition(layers[i], space[depth], i) for i in range(1, len(layers))))


def _integer(name: str, bounds: tuple[int, int], *, log: bool, cap: str) -> Hyperparameter[Any, Any]:
    lower, upper = bounds
    if upper < lower:
        raise ValueError(f"{cap!r} must be at least {lower}, the smallest value of {name!r}, got {upper}")
    return Constant(name, lower) if lower == upper else Integer(name, bounds, log=log)
