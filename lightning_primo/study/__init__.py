"""Ask and tell with a durable log, and what a search is given beside its problem. Nothing here knows torch."""

from lightning_primo.problem import Problem
from lightning_primo.problem.objective import Kind, Objective
from lightning_primo.problem.trial import Status
from lightning_primo.study.earlier_search import Continuation
from lightning_primo.study.study import Study
from lightning_primo.study.study_result import StudyResult

__all__ = ["Continuation", "Kind", "Objective", "Problem", "Status", "Study", "StudyResult"]
