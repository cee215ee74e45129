"""What a search's trials say of its space, its priors and its budget: pure functions over problem and trials."""

from lightning_primo.analysis.failure_groups import FailureGroup, failure_groups
from lightning_primo.analysis.family import Relative, family
from lightning_primo.analysis.importance import Importance, importances
from lightning_primo.analysis.objective_model import ObjectiveModel, fit_objective
from lightning_primo.analysis.prior_effect import PriorEffect, Verdict, prior_effect
from lightning_primo.analysis.slices import Slice, slices
from lightning_primo.analysis.spending import Occupancy, Spent, occupancy, spending

__all__ = [
    "FailureGroup",
    "Importance",
    "ObjectiveModel",
    "Occupancy",
    "PriorEffect",
    "Relative",
    "Slice",
    "Spent",
    "Verdict",
    "failure_groups",
    "family",
    "fit_objective",
    "importances",
    "occupancy",
    "prior_effect",
    "slices",
    "spending",
]
