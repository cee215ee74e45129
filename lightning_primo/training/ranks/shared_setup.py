"""Data that are set up alike in all ranks."""

from __future__ import annotations

import functools
import random

import lightning.pytorch as pl
import numpy as np
import torch
from torch import distributed


def set_up_alike(data: pl.LightningDataModule) -> None:
    """Let `data` be set up in all ranks with the global generators of rank 0, which alone prepares the data.

    A split that is drawn there is then the same in all, and that of one process.
    """
    set_up = data.setup

    @functools.wraps(set_up)
    def set_up_from_rank_zero(stage: str) -> None:
        if distributed.is_initialized():
            states = [(torch.get_rng_state(), np.random.get_state(), random.getstate())]  # noqa: NPY002
            distributed.broadcast_object_list(states, src=0)
            torch_state, numpy_state, python_state = states[0]
            torch.set_rng_state(torch_state)
            np.random.set_state(numpy_state)  # noqa: NPY002
            random.setstate(python_state)
        set_up(stage)

    data.setup = set_up_from_rank_zero  # type: ignore[method-assign]
