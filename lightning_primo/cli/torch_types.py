"""Types of torch that jsonargparse has no notation for: it could not write down what has one for its default."""

from __future__ import annotations

import torch
from jsonargparse.typing import register_type


def register_torch_types() -> None:
    """Let parsers of this process read and write ``cpu`` as a torch.device and ``float16`` as a torch.dtype."""
    register_type(torch.device, str, torch.device, fail_already_registered=False)
    register_type(torch.dtype, str, _dtype, fail_already_registered=False)


def _dtype(name: str) -> torch.dtype:
    found = getattr(torch, name.removeprefix("torch."), None)
    if not isinstance(found, torch.dtype):
        raise ValueError(f"no type of torch: {name!r}")
    return found
