"""The convolutional network of the Bag of Baselines paper (Guerrero-Viu et al. 2021, appendix C, table 2).

A network is stages of convolution, ReLU, batch normalisation and pooling, then optional global average pooling, fully
connected layers and a linear head. `conv_net_space` is its search space, `ConvNet.from_config` the way back.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn


class ConvNet(nn.Module):
    """A small convolutional classifier whose parts are easy to find, grow and prune.

    Attributes:
        convolutions: One stage per entry of `filters`; each is an `nn.Sequential` with the parts `conv`, `relu`,
            `batch_norm` (if on) and `pool`.
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

    Every map that is normalised has at least 2 x 2 positions, so training works with batches of one image.

    Raises:
        ValueError: For a number below 1, an even kernel, no convolution, or images smaller than
            `2 ** len(filters)` pixels, of which the pooling would leave nothing.
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
    ) -> None:
        super().__init__()
        height, width = (image_size, image_size) if isinstance(image_size, int) else image_size
        _check_sizes(in_channels, height, width, n_classes, filters, neurons, kernel_size)
        self.input_shape = (in_channels, height, width)

        channels = [in_channels, *filters]
        self.convolutions = nn.Sequential(
            *(_conv_stage(channels[i], channels[i + 1], kernel_size, batch_norm) for i in range(len(filters)))
        )
        self.global_pool: nn.Module = nn.AdaptiveAvgPool2d(1) if global_average_pooling else nn.Identity()
        self.flatten = nn.Flatten()

        positions = 1 if global_average_pooling else (height >> len(filters)) * (width >> len(filters))
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
                `n_neurons_{n_fc}`; optionally `kernel_size`, `batch_norm` and `global_average_pooling`, else the
                constructor's defaults hold. Other keys, such as `lr`, say nothing about the network and are ignored.
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


def _conv_stage(in_channels: int, out_channels: int, kernel_size: int, batch_norm: bool) -> nn.Sequential:
    parts: OrderedDict[str, nn.Module] = OrderedDict()
    parts["conv"] = nn.Conv2d(in_channels, out_channels, kernel_size, padding=kernel_size // 2)
    parts["relu"] = nn.ReLU()
    if batch_norm:
        parts["batch_norm"] = nn.BatchNorm2d(out_channels)
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
    in_channels: int,
    height: int,
    width: int,
    n_classes: int,
    filters: Sequence[int],
    neurons: Sequence[int],
    kernel_size: int,
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
    smallest = 2 ** len(filters)
    if min(height, width) < smallest:
        raise ValueError(
            f"'image_size' must be at least {smallest} pixels for {len(filters)} convolutions, each of which halves "
            f"the image, got {height} x {width}; use larger images or fewer convolutions (hyperparameter 'n_conv')"
        )
