"""NAS-Bench-201 (Dong and Yang 2020, arXiv 2001.00326): its cells, the networks of them, and how they are trained.

A cell is a directed acyclic graph of 4 nodes with an operation on each of its 6 edges; a node is the sum of what its
incoming edges bring. A network is a stem and three stages of equal cells, with a residual block that halves the image
and doubles the channels between stages (figure 1 of the paper). `nas_bench_201_space` is the search space.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from functools import reduce
from typing import Any

import torch
from ConfigSpace import Categorical, ConfigurationSpace, Float, Integer
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import nn
from typing_extensions import override

from models.classifier import Classifier

OPERATIONS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
"""What an edge may be."""

EDGES = ((0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3))
"""The edges in the benchmark's order, as (source, target) nodes."""

EDGE_NAMES = tuple(f"edge_{source}_{target}" for source, target in EDGES)
"""The hyperparameters of a cell, in the order of `EDGES`; ConfigSpace itself sorts them by name."""

_MOMENTUM = 0.9


def nas_bench_201_space(*, seed: int | None = None, training: bool = False) -> ConfigurationSpace:
    """The 15,625 cells: `edge_0_1` to `edge_2_3`, each one of `OPERATIONS`.

    Args:
        seed: Seed of the space's own sampling.
        training: Whether the space also has `lr` (1e-3 to 1), `weight_decay` (1e-5 to 1e-2) and `batch_size` (32 to
            512), all on a log scale, for a joint search with real trainings. Their defaults are the benchmark's.
    """
    space = ConfigurationSpace(seed=seed)
    space.add(*(Categorical(name, OPERATIONS, default="nor_conv_3x3") for name in EDGE_NAMES))
    if training:
        space.add(
            Float("lr", (1e-3, 1.0), log=True, default=0.1),
            Float("weight_decay", (1e-5, 1e-2), log=True, default=5e-4),
            Integer("batch_size", (32, 512), log=True, default=256),
        )
    return space


class NASBench201Network(nn.Module):
    """A network of equal cells.

    What counts of a cell are all its edges: also those that lead nowhere, as where every way from a convolution to the
    cell's output passes a `none`, have their parameters, are computed, and get gradients, which are zero. So it is in
    the benchmark, which counts them too.

    Attributes:
        features: `stem`, `stage_1`, `reduction_1`, `stage_2`, `reduction_2`, `stage_3`, and at last `norm` and `relu`.
        head: The linear layer to the logits.

    Args:
        cell: The operations of the edges, in the order of `EDGES`.
        in_channels: Channels of the images.
        n_classes: Number of classes.
        channels: Channels of the first stage; each reduction doubles them.
        cells_per_stage: Cells in each of the three stages.

    Raises:
        ValueError: For other than six operations, an unknown one, or a number below 1.
    """

    def __init__(
        self,
        cell: Sequence[str],
        *,
        in_channels: int = 3,
        n_classes: int = 10,
        channels: int = 16,
        cells_per_stage: int = 5,
    ) -> None:
        super().__init__()
        _check(cell, in_channels=in_channels, n_classes=n_classes, channels=channels, cells_per_stage=cells_per_stage)
        widths = (channels, 2 * channels, 4 * channels)

        parts: OrderedDict[str, nn.Module] = OrderedDict()
        parts["stem"] = nn.Sequential(
            nn.Conv2d(in_channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels)
        )
        for i, width in enumerate(widths):
            if i:
                parts[f"reduction_{i}"] = _Reduction(widths[i - 1], width)
            parts[f"stage_{i + 1}"] = nn.Sequential(*(_Cell(cell, width) for _ in range(cells_per_stage)))
        parts["norm"] = nn.BatchNorm2d(widths[-1])
        parts["relu"] = nn.ReLU()
        self.features = nn.Sequential(parts)
        self.head = nn.Linear(widths[-1], n_classes)

    @classmethod
    def from_config(cls, config: Mapping[str, Any], **options: int) -> NASBench201Network:
        """The network of a configuration of `nas_bench_201_space`.

        Args:
            config: Has the six edges; other keys, such as `lr`, say nothing about the network and are ignored.
            options: The constructor's other arguments.

        Raises:
            ValueError: For a missing edge, or what the constructor refuses.
        """
        missing = [name for name in EDGE_NAMES if name not in config]
        if missing:
            raise ValueError(f"'config' must have all edges of a cell, {missing[0]!r} is missing; got {sorted(config)}")
        return cls([str(config[name]) for name in EDGE_NAMES], **options)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits, `batch x n_classes`, of images, `batch x in_channels x height x width`, both multiples of 4."""
        logits: torch.Tensor = self.head(self.features(images).mean((2, 3)))
        return logits


class NASBench201Classifier(Classifier):
    """A `Classifier` of a `NASBench201Network`, from the hyperparameters of `nas_bench_201_space` as keyword arguments.

    Trained as in the benchmark: stochastic gradient descent with Nesterov momentum 0.9 and weight decay, the learning
    rate falling from `lr` to 0 over the Trainer's `max_epochs` along a cosine (here from epoch to epoch, there from
    step to step). The benchmark's batches have 256 images, flipped at random and shifted by up to 4 pixels.

    Args:
        edge_0_1: Operation from the cell's input to its node 1.
        edge_0_2: Operation from the input to node 2.
        edge_1_2: Operation from node 1 to node 2.
        edge_0_3: Operation from the input to the output.
        edge_1_3: Operation from node 1 to the output.
        edge_2_3: Operation from node 2 to the output.
        in_channels: Channels of the images.
        image_size: Height and width of the (square) images in pixels, a multiple of 4.
        n_classes: Number of classes.
        channels: Channels of the first stage.
        cells_per_stage: Cells in each of the three stages.
        lr: Learning rate at the beginning.
        weight_decay: Weight decay of all parameters.
        batch_size: Part of the search space, but the data module's business: accepted and not used.

    Raises:
        ValueError: What `NASBench201Network` and `Classifier` raise, another image size, or a negative weight decay.
    """

    def __init__(
        self,
        *,
        edge_0_1: str,
        edge_0_2: str,
        edge_1_2: str,
        edge_0_3: str,
        edge_1_3: str,
        edge_2_3: str,
        in_channels: int = 3,
        image_size: int = 32,
        n_classes: int = 10,
        channels: int = 16,
        cells_per_stage: int = 5,
        lr: float = 0.1,
        weight_decay: float = 5e-4,
        batch_size: int | None = None,
    ) -> None:
        if image_size < 4 or image_size % 4:
            raise ValueError(f"'image_size' must be a multiple of 4, as it is halved twice, got {image_size}")
        if not weight_decay >= 0:
            raise ValueError(f"'weight_decay' must be at least 0, got {weight_decay}")
        network = NASBench201Network(
            (edge_0_1, edge_0_2, edge_1_2, edge_0_3, edge_1_3, edge_2_3),
            in_channels=in_channels,
            n_classes=n_classes,
            channels=channels,
            cells_per_stage=cells_per_stage,
        )
        super().__init__(network, n_classes, lr, cosine=True, input_shape=(in_channels, image_size, image_size))
        self.weight_decay = weight_decay
        self.save_hyperparameters()

    @override
    def configure_optimizers(self) -> OptimizerLRScheduler:
        epochs = self.trainer.max_epochs
        if epochs is None or epochs < 1:
            raise ValueError(f"the cosine schedule needs a Trainer with a finite 'max_epochs', got {epochs}")
        optimizer = torch.optim.SGD(
            self.parameters(), lr=self.lr, momentum=_MOMENTUM, nesterov=True, weight_decay=self.weight_decay
        )
        return [optimizer], [torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=epochs)]


class _Cell(nn.Module):
    """Node 0 is the input, node 3 the output."""

    def __init__(self, operations: Sequence[str], channels: int) -> None:
        super().__init__()
        self.edges = nn.ModuleDict(
            {name: _operation(operation, channels) for name, operation in zip(EDGE_NAMES, operations, strict=True)}
        )

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        nodes = [maps]
        for target in (1, 2, 3):
            incoming = [self.edges[f"edge_{source}_{target}"](nodes[source]) for source in range(target)]
            nodes.append(reduce(torch.add, incoming))
        return nodes[-1]


class _Zero(nn.Module):
    """Zeros that depend on the input, so that what leads there stays part of the graph, which DDP requires."""

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        return maps * 0


class _Reduction(nn.Module):
    """Halves the image: two 3x3 convolutions, beside them average pooling and a 1x1 convolution."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.residual = nn.Sequential(
            _relu_conv_norm(in_channels, out_channels, 3, stride=2), _relu_conv_norm(out_channels, out_channels, 3)
        )
        self.shortcut = nn.Sequential(nn.AvgPool2d(2), nn.Conv2d(in_channels, out_channels, 1, bias=False))

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.shortcut(maps) + self.residual(maps)
        return out


def _relu_conv_norm(in_channels: int, out_channels: int, kernel_size: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.ReLU(),
        nn.Conv2d(in_channels, out_channels, kernel_size, stride=stride, padding=kernel_size // 2, bias=False),
        nn.BatchNorm2d(out_channels),
    )


def _operation(name: str, channels: int) -> nn.Module:
    if name == "none":
        return _Zero()
    if name == "skip_connect":
        return nn.Identity()
    if name == "avg_pool_3x3":
        return nn.AvgPool2d(3, stride=1, padding=1, count_include_pad=False)
    return _relu_conv_norm(channels, channels, 1 if name == "nor_conv_1x1" else 3)


def _check(cell: Sequence[str], **numbers: int) -> None:
    if isinstance(cell, str) or len(cell) != len(EDGES):
        raise ValueError(f"'cell' must name {len(EDGES)} operations, one for each of {EDGE_NAMES}, got {cell!r}")
    for name, operation in zip(EDGE_NAMES, cell, strict=True):
        if operation not in OPERATIONS:
            raise ValueError(f"{name!r} must be one of {OPERATIONS}, got {operation!r}")
    for argument, number in numbers.items():
        if number < 1:
            raise ValueError(f"{argument!r} must be at least 1, got {number}")
