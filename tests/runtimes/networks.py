"""Networks to deploy."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models import ConvNetClassifier


def digits_classifier(seed: int = 0, *, lr: float = 1e-3, n_filters: int = 8) -> ConvNetClassifier:
    torch.manual_seed(seed)
    return ConvNetClassifier(
        in_channels=1,
        image_size=8,
        n_classes=10,
        n_conv=2,
        n_filters_1=n_filters,
        n_filters_2=8,
        n_fc=1,
        n_neurons_1=16,
        lr=lr,
    )


IMAGES = torch.zeros(1, 1, 8, 8)


class Branching(nn.Module):
    """What it computes depends on values of its input, which no exported file can hold."""

    def forward(self, x: Tensor) -> Tensor:
        return x.abs() if x.sum() > 0 else x - 1


class Named(nn.Module):
    """Takes two inputs by name, and gives a dict."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 2)

    def forward(self, values: Tensor, mask: Tensor) -> dict[str, Tensor | str]:
        return {"logits": self.layer(values * mask), "kind": "linear"}


def trained_batch_norm() -> nn.Module:
    """Its batch normalisation has seen data: the running statistics are not 0 and 1."""
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.BatchNorm2d(4), nn.Conv2d(4, 2, 3))
    module(3 * torch.randn(64, 1, 8, 8) + 1)
    return module


class Words(nn.Module):
    """Takes numbers of words that are kept as floats."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(3, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.table(x.long())
