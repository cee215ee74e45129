"""Data for the recipes as LightningDataModules: images in memory, batched by indexing, fixed splits.

They know PyTorch, Lightning and torchvision and nothing of the search. `InMemoryDataModule` is the base for other
images that fit into memory.
"""

from __future__ import annotations

from datamodules.base import ImageSplits, InMemoryDataModule, stratified_split
from datamodules.cifar import CIFAR10, CIFAR100
from datamodules.digits import Digits
from datamodules.flowers import Flowers17, Flowers102
from datamodules.in_memory import InMemoryDataset, RandomFlipCrop, in_memory_loader
from datamodules.text import TextData, help_topics, standard_library

__all__ = [
    "CIFAR10",
    "CIFAR100",
    "Digits",
    "Flowers17",
    "Flowers102",
    "ImageSplits",
    "InMemoryDataModule",
    "InMemoryDataset",
    "RandomFlipCrop",
    "TextData",
    "help_topics",
    "in_memory_loader",
    "standard_library",
    "stratified_split",
]
