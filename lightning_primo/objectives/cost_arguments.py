"""The arguments that the costs have in common."""

from __future__ import annotations

import torch

from lightning_primo.checks import check_text, check_whole, shown
from lightning_primo.errors import InvalidArgumentError
from lightning_primo.problem.objective import Kind, Objective


def cost_objective(
    kind: Kind, name: str, *, at_most: float | None, at_least: float | None, reference: float | None, log: bool
) -> Objective:
    """The objective of a cost: smaller is better."""
    return Objective(name=name, kind=kind, log=log, at_most=at_most, at_least=at_least, reference=reference)


def check_batch_size(batch_size: int | None) -> None:
    """Raise an InvalidArgumentError unless it is a whole number of at least 1, or None."""
    if batch_size is not None:
        check_whole("batch_size", batch_size, least=1)


def check_computation(threads: int | None, dtype: torch.dtype | None) -> None:
    """Raise an InvalidArgumentError unless one computes with so many CPU threads, in a floating-point type."""
    if threads is not None:
        check_whole("threads", threads, least=1)
    if dtype is not None and not (isinstance(dtype, torch.dtype) and dtype.is_floating_point):
        raise InvalidArgumentError(f"'dtype' must be a floating-point type such as torch.bfloat16, got {shown(dtype)}")


def name_on(device: object, what: str) -> str:
    """The name of what is measured on a device: ``latency_cpu``; `what` alone where the device is left open."""
    if not isinstance(device, torch.device):
        check_text("device", device)
    kind = str(device).partition(":")[0]
    return what if kind == "auto" else f"{what}_{kind}"
