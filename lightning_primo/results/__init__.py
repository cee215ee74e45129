"""What a search has found: its trials and their front, as objects, tables, files and pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lightning_primo.lazy import lazy_names

if TYPE_CHECKING:
    from lightning_primo.results.comparison import Comparison
    from lightning_primo.results.exports.export import check_target
    from lightning_primo.results.front import FrontTracker
    from lightning_primo.results.interchange.optuna_import import from_optuna
    from lightning_primo.results.once_more.latency_order import LatencyOrder
    from lightning_primo.results.once_more.repetitions import RepeatedTrial, Repetition
    from lightning_primo.results.ordering import Front
    from lightning_primo.results.partial_training import PartlyTrained
    from lightning_primo.results.result import Result
    from lightning_primo.results.trial_result import TrialResult

__all__ = [
    "Comparison",
    "Front",
    "FrontTracker",
    "LatencyOrder",
    "PartlyTrained",
    "RepeatedTrial",
    "Repetition",
    "Result",
    "TrialResult",
    "check_target",
    "from_optuna",
]

# What reads a log alone does not wait for the import of torch and Lightning.
__getattr__ = lazy_names(
    __name__,
    {
        "Comparison": "comparison",
        "check_target": "exports.export",
        "Front": "ordering",
        "from_optuna": "interchange.optuna_import",
        "FrontTracker": "front",
        "LatencyOrder": "once_more.latency_order",
        "PartlyTrained": "partial_training",
        "RepeatedTrial": "once_more.repetitions",
        "Repetition": "once_more.repetitions",
        "Result": "result",
        "TrialResult": "trial_result",
    },
)
