"""Pareto dominance, hypervolume, selection and scalarisation of minimised losses: numpy in, numpy out.

All functions take an `n x m` array with one row per point and one column per objective, and none changes its input. A
row with NaN is dominated by every row without and is never on the front.
"""

from __future__ import annotations

from lightning_primo.pareto.constrained import constrained_losses, excess
from lightning_primo.pareto.dominance import dominates, fronts, non_dominated, non_dominated_sort
from lightning_primo.pareto.hypervolume import (
    contributions,
    default_reference,
    hypervolume,
    hypervolume_over_time,
    improvement,
)
from lightning_primo.pareto.incremental_sorting import GrowingFronts
from lightning_primo.pareto.scalarization import (
    AugmentedChebyshev,
    Scalarization,
    WeightedSum,
    normalise,
    ranges,
    sample_weights,
)
from lightning_primo.pareto.selection import (
    crowding_distance,
    epsilon_net,
    hssp_drop,
    hssp_order,
    iterate_epsilon_net,
    nds_crowding_order,
    nds_epsilon_net_order,
    nds_hssp_order,
    nds_hssp_ranking,
)

__all__ = [
    "AugmentedChebyshev",
    "GrowingFronts",
    "Scalarization",
    "WeightedSum",
    "constrained_losses",
    "contributions",
    "crowding_distance",
    "default_reference",
    "dominates",
    "epsilon_net",
    "excess",
    "fronts",
    "hssp_drop",
    "hssp_order",
    "hypervolume",
    "hypervolume_over_time",
    "improvement",
    "iterate_epsilon_net",
    "nds_crowding_order",
    "nds_epsilon_net_order",
    "nds_hssp_order",
    "nds_hssp_ranking",
    "non_dominated",
    "non_dominated_sort",
    "normalise",
    "ranges",
    "sample_weights",
]
