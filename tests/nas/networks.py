"""Small networks with a few steps of training behind them, for tests of the operations on networks."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import lightning.pytorch as pl
import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, cross_entropy

from models import ConvNetClassifier

SHAPE: dict[str, Any] = {"in_channels": 2, "image_size": 8, "n_classes": 5}
CONFIG: dict[str, Any] = {
    "n_conv": 2,
    "n_filters_1": 6,
    "n_filters_2": 6,
    "kernel_size": 3,
    "batch_norm": True,
    "global_average_pooling": False,
    "n_fc": 2,
    "n_neurons_1": 7,
    "n_neurons_2": 7,
}


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def conv_net(config: Mapping[str, Any]) -> ConvNetClassifier:
    with torch.random.fork_rng():
        torch.manual_seed(99)
        return ConvNetClassifier(**config, **SHAPE)


def images(n: int = 16, seed: int = 0) -> Tensor:
    return torch.randn(n, 2, 8, 8, generator=seeded(seed)) * 2 + 0.5


def train(module: Any, inputs: Tensor, steps: int = 6) -> Any:
    """Some steps of Adam on random labels; then a batch normalisation weight in three is made negative."""
    optimizer = torch.optim.Adam(module.parameters(), lr=0.02)
    labels = torch.arange(len(inputs)) % 5
    module.train()
    for _ in range(steps):
        optimizer.zero_grad()
        loss: Any = cross_entropy(module(inputs), labels)
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        for part in module.modules():
            if isinstance(part, (nn.BatchNorm1d, nn.BatchNorm2d)):
                part.weight[::3] *= -1.5
    return module


def outputs(module: nn.Module, inputs: Tensor) -> Tensor:
    """In eval mode, on a copy."""
    with torch.no_grad():
        result: Tensor = copy.deepcopy(module).eval()(inputs)
    return result


def state(module: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


def unchanged(module: nn.Module, before: Mapping[str, Tensor]) -> bool:
    return all(torch.equal(tensor, before[name]) for name, tensor in module.state_dict().items())


class Part(NamedTuple):
    layer: Any
    after: Sequence[nn.Module] = ()
    width: str | None = None


class Perceptron(pl.LightningModule):
    """A user's module: linear layers, batch normalisation before or after the ReLU, parameters beside the chain."""

    def __init__(self, widths: Sequence[int] = (6, 6), norm_first: bool = True) -> None:
        super().__init__()
        sizes = [4, *widths]
        self.scale = nn.Parameter(torch.ones(4))
        self.shift: Tensor
        self.register_buffer("shift", torch.zeros(4))
        self.blocks = nn.ModuleList()
        for n_inputs, n_units in zip(sizes, widths, strict=False):
            relu_and_norm: list[nn.Module] = [nn.BatchNorm1d(n_units), nn.ReLU(inplace=True)]
            order = relu_and_norm if norm_first else relu_and_norm[::-1]
            self.blocks.append(nn.Sequential(nn.Linear(n_inputs, n_units), *order, nn.Dropout(0.5)))
        self.out = nn.Linear(sizes[-1], 5)
        self.example_input_array = torch.zeros(1, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = x * self.scale + self.shift
        for block in self.blocks:
            x = block(x)
        logits: Tensor = self.out(x).tanh()
        return logits

    def stages(self) -> list[Part]:
        blocks: Any = self.blocks
        hidden = [Part(block[0], [nn.Sequential(*block[1:])], f"width_{i}") for i, block in enumerate(blocks, 1)]
        return [*hidden, Part(self.out)]

    @staticmethod
    def deeper(config: Mapping[str, Any]) -> list[dict[str, Any]]:
        widths = config["widths"]
        return [{**config, "widths": (*widths[:i], *widths[i - 1 :])} for i in range(1, len(widths) + 1)]


class NormFirst(pl.LightningModule):
    """A user's module: convolutions without bias, then batch normalisation, ReLU and average pooling as functions."""

    def __init__(self, widths: Sequence[int] = (4, 6), pooling: Sequence[bool] | None = None) -> None:
        super().__init__()
        self.pooling = list(pooling or [True] * len(widths))
        self.convs = nn.ModuleList(
            nn.Conv2d(i, o, 3, padding="same", dilation=2, bias=False)
            for i, o in zip([2, *widths], widths, strict=False)
        )
        self.norms = nn.ModuleList(nn.BatchNorm2d(n) for n in widths)
        self.head = nn.Linear(widths[-1] * (8 >> sum(self.pooling)) ** 2, 5)
        self.example_input_array = torch.zeros(1, 2, 8, 8)

    def forward(self, x: Tensor) -> Tensor:
        for conv, norm, pool in zip(self.convs, self.norms, self.pooling, strict=True):
            x = norm(conv(x)).relu()
            x = avg_pool2d(x, 2) if pool else x
        logits: Tensor = self.head(x.flatten(1))
        return logits

    def stages(self) -> list[Part]:
        parts = []
        for i, (conv, norm) in enumerate(zip(self.convs, self.norms, strict=True)):
            pool = [nn.AvgPool2d(2)] if self.pooling[i] else []
            parts.append(Part(conv, [norm, nn.ReLU(), *pool, *([nn.Flatten()] * (conv is self.convs[-1]))], f"n_{i}"))
        return [*parts, Part(self.head)]

    @staticmethod
    def deeper(config: Mapping[str, Any]) -> list[dict[str, Any]]:
        return []


class Residual(pl.LightningModule):
    """Not a chain, though its layers' shapes look like one."""

    def __init__(self, width: int = 4, projection: bool = False, example: bool = True) -> None:
        super().__init__()
        self.first = nn.Conv2d(2, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)
        self.around = nn.Conv2d(width, width, 1) if projection else nn.Identity()
        self.head = nn.Linear(width, 5)
        if example:
            self.example_input_array = torch.zeros(1, 2, 8, 8)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x).relu()
        x = (self.second(x) + self.around(x)).relu()
        logits: Tensor = self.head(x.mean((2, 3)))
        return logits

    def stages(self) -> list[Part]:
        end = [nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
        return [Part(self.first, [nn.ReLU()], "one"), Part(self.second, end, "two"), Part(self.head)]

    @staticmethod
    def deeper(config: Mapping[str, Any]) -> list[dict[str, Any]]:
        return []
