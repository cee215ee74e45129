"""Modules of which only the structure is wanted."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def without_weights() -> Iterator[None]:
    """What is built while it lasts is on the device ``meta``, where weights take neither time nor memory.

    PyTorch warns of each pretrained parameter that is loaded into one of these; here nobody misses it.
    """
    with torch.device("meta"), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="for .*: copying from a non-meta parameter", category=UserWarning)
        yield
