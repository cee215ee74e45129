"""A training in several processes of this machine, one per device: the ranks of the trial."""

from lightning_primo.training.ranks.attempt import attempt_in_ranks
from lightning_primo.training.ranks.processes import is_rank, run_in_ranks
from lightning_primo.training.ranks.report import Report, first_failure
from lightning_primo.training.ranks.shared_setup import set_up_alike

__all__ = ["Report", "attempt_in_ranks", "first_failure", "is_rank", "run_in_ranks", "set_up_alike"]
