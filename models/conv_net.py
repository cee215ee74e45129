"""The convolutional network of the Bag of Baselines paper (Guerrero-Viu et al. 2021, appendix C, table 2).

A network is stages of convolution, ReLU, batch normalisation and pooling, then optional global average pooling, fully
connected layers and a linear head. `conv_net_space` is its search space, `ConvNet.from_config` the way back.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, cast

import torch
from torch import nn


class Stage(NamedTuple):
    """A layer and what follows it, as the morphisms of networks read it.

    Args:
        layer: The layer.
        after: What comes between it and the next layer, in order.
        width: Name of the hyperparameter that holds its number of units; None for the head.
    """

    layer: nn.Conv2d | nn.Linear
    after: tuple[nn.Module, ...] = ()
    width: str | None = None


class ConvNet(nn.Module):
    """A small convolutional classifier whose parts are easy to find, grow and prune.

    Attributes:
        convolutions: One stage per entry of `filters`; each is an `nn.Sequential` with the parts `conv`, `relu`,
            `batch_norm` (if on) and `pool` (if it pools).
        global_pool: Averages every map to one number, or an `nn.Identity`.
        flatten: `batch x channels x height x width` to `batch x features`.
        fully_connected: One stage per entry of `neurons`; each is an `nn.Sequential` with the parts `linear`, `relu`.
        head: The linear layer to the logits.

    Args:
        in_channels: Channels of the images.
        image_size: Height and width in pixels, or one number for square images.
        n_classes: Number of classes.
        filters: Number of filters of each convolution.
        neurons: Number of neurons of each fully connected layer; may be empty.
        kernel_size: Side of every convolution's kernel; odd, so that the maps keep their size.
        batch_norm: Whether the convolutions are followed by batch normalisation (after the ReLU).
        global_average_pooling: Whether the maps are averaged over before the fully connected layers.
        pooling: For each convolution whether 2 x 2 max pooling follows it; None: it does everywhere.

    Every map that is pooled has at least 2 x 2 positions, so where all stages pool, training with batch normalisation
    works with batches of one image.

    Raises:
        ValueError: For a number below 1, an even kernel, no convolution, another number of entries in `pooling` than in
            `filters`, or images smaller than 2 to the power of the number of poolings, which would leave nothing.
    """

    def __init__(
        self,
        *,
        in_channels: int,
        image_size: int | tuple[int, int],
        n_classes: int,
        filters: Sequence[int],
        neurons: Sequence[int],
        kernel_size: int = 3,
        batch_norm: bool = True,
        global_average_pooling: bool = True,
        pooling: Sequence[bool] | None = None,
    ) -> None:
        super().__init__()
        height, width = (image_size, image_size) if isinstance(image_size, int) else image_size
        pooling = [True] * len(filters) if pooling is None else list(pooling)
        n_poolings = sum(map(bool, pooling))
        _check_sizes(in_channels, n_classes, filters, neurons, kernel_size)
        _check_pooling(height, width, len(filters), len(pooling), n_poolings)
        self.input_shape = (in_channels, height, width)

        channels = [in_channels, *filters]
        self.convolutions = nn.Sequential(
            *(
                _conv_stage(channels[i], channels[i + 1], kernel_size, batch_norm, pooling[i])
                for i in range(len(filters))
            )
        )
        self.global_pool: nn.Module = nn.AdaptiveAvgPool2d(1) if global_average_pooling else nn.Identity()
        self.flatten = nn.Flatten()

        positions = 1 if global_average_pooling else (height >> n_poolings) * (width >> n_poolings)
        features = [channels[-1] * positions, *neurons]
        self.fully_connected = nn.Sequential(
            *(_linear_stage(features[i], features[i + 1]) for i in range(len(neurons)))
        )
        self.head = nn.Linear(features[-1], n_classes)

    @classmethod
    def from_config(
        cls, config: Mapping[str, Any], *, in_channels: int, image_size: int | tuple[int, int], n_classes: int
    ) -> ConvNet:
        """The network of a configuration of `conv_net_space`.

        Args:
            config: Has `n_conv`, `n_filters_1` to `n_filters_{n_conv}`, `n_fc` and `n_neurons_1` to
                `n_neurons_{n_fc}`; optionally `kernel_size`, `batch_norm`, `global_average_pooling` and `pool_1` to
                `pool_{n_conv}`, else the constructor's defaults hold. Other keys, such as `lr`, say nothing about the
                network and are ignored.
            in_channels: Channels of the images.
            image_size: Height and width in pixels, or one number for square images.
            n_classes: Number of classes.

        Raises:
            ValueError: For a missing width, or what the constructor refuses.
        """
        optional: dict[str, Any] = {}
        if "kernel_size" in config:
            optional["kernel_size"] = int(config["kernel_size"])
        for name in ("batch_norm", "global_average_pooling"):
            if name in config:
                optional[name] = bool(config[name])
        return cls(
            in_channels=in_channels,
            image_size=image_size,
            n_classes=n_classes,
            filters=_widths(config, "n_conv", "n_filters"),
            neurons=_widths(config, "n_fc", "n_neurons"),
            pooling=[bool(config.get(f"pool_{i}", True)) for i in range(1, int(config["n_conv"]) + 1)],
            **optional,
        )

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits of the classes.

        Args:
            images: `batch x in_channels x height x width`.

        Returns:
            `batch x n_classes`.
        """
        maps = self.global_pool(self.convolutions(images))
        logits: torch.Tensor = self.head(self.fully_connected(self.flatten(maps)))
        return logits

    def stages(self) -> list[Stage]:
        """The network as a chain, input to head, with the names of `conv_net_space` for the widths."""
        convolutions = [list(stage.children()) for stage in self.convolutions]
        convolutions[-1] += [self.global_pool, self.flatten]
        linear = [list(stage.children()) for stage in self.fully_connected]
        return [
            *(Stage(cast("nn.Conv2d", s[0]), tuple(s[1:]), f"n_filters_{i}") for i, s in enumerate(convolutions, 1)),
            *(Stage(cast("nn.Linear", s[0]), tuple(s[1:]), f"n_neurons_{i}") for i, s in enumerate(linear, 1)),
            Stage(self.head),
        ]


def _conv_stage(
    in_channels: int, out_channels: int, kernel_size: int, batch_norm: bool, pooling: bool
) -> nn.Sequential:
    parts: OrderedDict[str, nn.Module] = OrderedDict()
    parts["conv"] = nn.Conv2d(in_channels, out_channels, kernel_size, padding=kernel_size // 2)
    parts["relu"] = nn.ReLU()
    if batch_norm:
        parts["batch_norm"] = nn.BatchNorm2d(out_channels)
    if pooling:
        parts["pool"] = nn.MaxPool2d(2)
    return nn.Sequential(parts)


def _linear_stage(in_features: int, out_features: int) -> nn.Sequential:
    return nn.Sequential(OrderedDict(linear=nn.Linear(in_features, out_features), relu=nn.ReLU()))


def _widths(config: Mapping[str, Any], depth: str, width: str) -> list[int]:
    """The values of `width`_1 to `width`_n, where n is the value of `depth`."""
    if depth not in config:
        raise ValueError(f"'config' must have {depth!r}, got the keys {sorted(config)}")
    names = [f"{width}_{i}" for i in range(1, int(config[depth]) + 1)]
    missing = [name for name in names if config.get(name) is None]
    if missing:
        raise ValueError(
            f"'config' has {depth!r} = {config[depth]} and must then have {missing[0]!r}, which is missing"
        )
    return [int(config[name]) for name in names]


def _check_sizes(
    in_channels: int, n_classes: int, filters: Sequence[int], neurons: Sequence[int], kernel_size: int
) -> None:
    if not filters:
        raise ValueError("'filters' must name at least one convolution, got none")
    scalars = {"in_channels": in_channels, "n_classes": n_classes, "kernel_size": kernel_size}
    for name, number in scalars.items():
        if number < 1:
            raise ValueError(f"{name!r} must be at least 1, got {number}")
    for name, numbers in {"filters": filters, "neurons": neurons}.items():
        if min(numbers, default=1) < 1:
            raise ValueError(f"{name!r} must be at least 1 in every layer, got {list(numbers)}")
    if kernel_size % 2 == 0:
        raise ValueError(f"'kernel_size' must be odd, so that the maps keep their size, got {kernel_size}")


def _check_pooling(height: int, width: int, n_layers: int, n_entries: int, n_poolings: int) -> None:
    if n_entries != n_layers:
        raise ValueError(f"'pooling' must have an entry for each of the {n_layers} convolutions, got {n_entries}")
    smallest = 2**n_poolings
    if min(height, width) < smallest:
        what = f"{n_layers} convolutions" + (f", {n_poolings} of them with pooling" if n_poolings < n_layers else "")
        raise ValueError(
            f"'image_size' must be at least {smallest} pixels for {what}, each of which halves "
            f"the image, got {height} x {width}; use larger images or fewer convolutions (hyperparameter 'n_conv')"
        )
