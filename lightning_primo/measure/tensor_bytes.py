"""The numbers of a tensor as they lie in memory, for digests."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def tensor_bytes(tensor: Tensor) -> NDArray[np.uint8]:
    """The bytes of the numbers of a dense tensor on the CPU, of any type and strides; empty for one without numbers.

    A view of one number may have a stride of 0 and counts as contiguous all the same, but can't be read as bytes.
    """
    dense = tensor.detach().resolve_conj().resolve_neg().clone(memory_format=torch.contiguous_format)
    return dense.view(-1).view(torch.uint8).numpy()
