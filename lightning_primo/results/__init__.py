"""What a search has found: its trials and their front, as objects, tables, files and pictures."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lightning_primo.results.comparison import Comparison
    from lightning_primo.results.export import check_target
    from lightning_primo.results.front import FrontTracker
    from lightning_primo.results.partial_training import PartlyTrained
    from lightning_primo.results.result import Result
    from lightning_primo.results.trial_result import TrialResult

__all__ = ["Comparison", "FrontTracker", "PartlyTrained", "Result", "TrialResult", "check_target"]

_HOMES = {
    "Comparison": "comparison",
    "FrontTracker": "front",
    "PartlyTrained": "partial_training",
    "Result": "result",
    "TrialResult": "trial_result",
    "check_target": "export",
}


def __getattr__(name: str) -> Any:
    # A study's results need no torch: only those of trainings do.
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
