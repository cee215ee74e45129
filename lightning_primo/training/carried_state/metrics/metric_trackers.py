"""The metrics that a `MetricTracker` of torchmetrics makes while it is trained, which no constructor makes again.

Each ``increment()`` appends a copy of the metric that the tracker was made with.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import nn
from torchmetrics import MetricTracker

_BASE = "_base_metric"


def trackers(module: nn.Module) -> Iterator[tuple[str, MetricTracker]]:
    """The trackers in a module, by their names."""
    return ((name, part) for name, part in module.named_modules() if isinstance(part, MetricTracker))


def lengthen(tracker: MetricTracker, n_steps: int) -> None:
    """Have a tracker make what it lacks to so many metrics; nothing where it has them."""
    while tracker.n_steps < n_steps:
        tracker.increment()


def original(name: str, module: nn.Module) -> str:
    """The name of what a part of a module was copied from by its tracker; any other part's own.

    Args:
        name: The part's, which need not be there yet.
        module: The module.
    """
    part: Any = module
    pieces = []
    for piece in name.split("."):
        pieces.append(_BASE if isinstance(part, MetricTracker) else piece)
        part = getattr(part, pieces[-1], None)
    return ".".join(pieces)
