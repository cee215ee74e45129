"""Architectures and LightningModules for the recipes, with the search spaces that belong to them.

They know PyTorch, Lightning and ConfigSpace and nothing of the search, so each also serves as an example of what a
user brings along.
"""

from __future__ import annotations

from models.classifier import Classifier, ConvNetClassifier
from models.conv_net import ConvNet
from models.space import conv_net_space

__all__ = ["Classifier", "ConvNet", "ConvNetClassifier", "conv_net_space"]
