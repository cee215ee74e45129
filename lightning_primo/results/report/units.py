"""In which units the report shows objectives: told by what measures them, and for a metric by its name and values."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from typing import Literal

from lightning_primo.problem.objective import Objective

Unit = Literal["seconds", "bytes", "count", "share", "number"]
"""What the page knows how to write: ``12.3 ms``, ``4.5 MB``, ``1.2 M``, ``7.8 %``, ``0.123``."""

_BY_CLASS: Mapping[str, Unit] = {
    "Latency": "seconds",
    "TrainingTime": "seconds",
    "PeakMemory": "bytes",
    "ParameterCount": "count",
    "FLOPs": "count",
}
_SHARES = re.compile(r"acc|err|f1|auroc|precision|recall|iou|dice", re.IGNORECASE)


def units(objectives: Iterable[Objective], description: Mapping[str, str]) -> dict[str, Unit]:
    """The unit of each objective, before its values are looked at: a metric's is ``"number"``.

    Args:
        objectives: Of the search.
        description: What the search is, as text by key; it may be empty.
    """
    classes = {name: entry.get("class") for name, entry in json.loads(description.get("objectives", "{}")).items()}
    return {objective.name: _BY_CLASS.get(classes.get(objective.name, ""), "number") for objective in objectives}


def is_share(name: str, values: Iterable[float]) -> bool:
    """Whether a metric is a share of one, to be shown as a percentage: by its name, and as no value says otherwise."""
    known = [value for value in values if math.isfinite(value)]
    return bool(_SHARES.search(name)) and bool(known) and all(0 <= value <= 1 for value in known)
