"""Architectures and LightningModules for the recipes, with the search spaces that belong to them.

They know PyTorch, Lightning and ConfigSpace and nothing of the search, so each also serves as an example of what a
user brings along.
"""

from __future__ import annotations

from models.classifier import Classifier, ConvNetClassifier
from models.conv_net import ConvNet
from models.nas_bench_201 import NASBench201Classifier, NASBench201Network, nas_bench_201_space
from models.space import conv_net_space, deeper_conv_nets

__all__ = [
    "Classifier",
    "ConvNet",
    "ConvNetClassifier",
    "NASBench201Classifier",
    "NASBench201Network",
    "conv_net_space",
    "deeper_conv_nets",
    "nas_bench_201_space",
]
