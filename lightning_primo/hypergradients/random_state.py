"""The state of the global generators, to draw the same numbers once more."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lightning_primo.measure.isolation import rng_kept


@dataclass(frozen=True)
class RandomState:
    """The states of the generators of Python, NumPy, torch's CPU and a CUDA device, None for another."""

    python: Any
    numpy: Any
    cpu: Tensor
    cuda: Tensor | None

    @classmethod
    def present(cls, device: torch.device) -> RandomState:
        """The present state."""
        cuda = torch.cuda.get_rng_state(device) if device.type == "cuda" else None
        return cls(random.getstate(), np.random.get_state(), torch.get_rng_state(), cuda)  # noqa: NPY002

    @contextmanager
    def restored(self, device: torch.device) -> Iterator[None]:
        """Draw from here on inside, and from where it was on leaving."""
        with rng_kept(device):
            random.setstate(self.python)
            np.random.set_state(self.numpy)  # noqa: NPY002
            torch.set_rng_state(self.cpu)
            if self.cuda is not None:
                torch.cuda.set_rng_state(self.cuda, device)
            yield
