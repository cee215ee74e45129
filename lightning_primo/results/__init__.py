"""What a search has found: its trials and their front, as objects, tables, files and pictures."""

from lightning_primo.results.comparison import Comparison
from lightning_primo.results.export import check_target
from lightning_primo.results.front import FrontTracker
from lightning_primo.results.interchange.optuna_import import from_optuna
from lightning_primo.results.ordering import Front
from lightning_primo.results.partial_training import PartlyTrained
from lightning_primo.results.result import Result
from lightning_primo.results.trial_result import TrialResult

__all__ = [
    "Comparison",
    "Front",
    "FrontTracker",
    "PartlyTrained",
    "Result",
    "TrialResult",
    "check_target",
    "from_optuna",
]
