"""The budget levels of SH-EMOA: budgets that double while the evaluations halve, such that a total is spent exactly.

Guerrero-Viu et al. 2021, arXiv 2105.01015, algorithm 1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

_EVALUATIONS_PER_MEMBER = 1.5  # of the last level, at least: half of its epochs then train children from scratch
_MAX_SHIFT = 16  # evaluations by which a level may leave the halving, so that the total is spent exactly


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """What a search spends, level by level, if nothing fails.

    Attributes:
        budgets: Epochs up to which the evaluations of each level train; the last is `R`.
        evaluations: Evaluations of each level; those of the population are among them.
        population_size: Members of the population.
        paid: Of each level's budget, what a member has paid in the level before.
    """

    budgets: tuple[int, ...]
    evaluations: tuple[int, ...]
    population_size: int
    paid: tuple[int, ...]

    @property
    def epochs(self) -> tuple[int, ...]:
        """What each level costs: a child its level's budget, a member only what it has not paid before."""
        levels = zip(self.evaluations, self.budgets, self.paid, strict=True)
        return tuple(n * budget - self.population_size * earlier for n, budget, earlier in levels)


def budget_levels(min_epochs: int, max_epochs: int, n_levels: int) -> tuple[int, ...]:
    """The budgets `R / 2^k` of up to `n_levels` levels, rounded, ascending; none below the minimum, `R` is exact.

    Halves are rounded to the odd number: two trainings at `R / 4` and one at `R / 2` then cost exactly `R` for every
    odd `R`, so that few evaluations have to be shifted for a total to be spent exactly.

    >>> budget_levels(1, 27, 3), budget_levels(5, 25, 3), budget_levels(10, 25, 3), budget_levels(1, 2, 3)
    ((7, 13, 27), (6, 13, 25), (13, 25), (1, 2))
    """
    budgets = [max_epochs]
    for k in range(1, n_levels):
        budget = _round_half_to_odd(max_epochs / 2**k)
        if budget < min_epochs:
            break
        if budget < budgets[-1]:
            budgets.append(budget)
    return tuple(reversed(budgets))


def plan_levels(
    full_trainings: float, population_size: int, budgets: Sequence[int], *, continues: bool = True
) -> Schedule:
    """The schedule that spends `full_trainings * R` epochs.

    A population of `s` that goes through all levels costs `s R`, as it continues from its checkpoints, and `m_i`
    children in level `i` cost `m_i b_i`. Of the evaluations `n_i = s + m_i = 2^(n-1-i) c` that halve from level to
    level, `c` is the one with `s R + sum_i m_i b_i = full_trainings * R`. The `m_i` are then the whole numbers closest
    to that which spend exactly the same. Where there are none close by (as with two levels and an odd `R`), the total
    is exceeded by less than one full training.

    Args:
        full_trainings: The total, at least 1.
        population_size: The largest population; fewer where the last level would have less than 1.5 evaluations per
            member, that is, where members going from `R / 2` to `R` would take more than half of its epochs.
        budgets: Of the levels, ascending, in epochs; the lowest are left out where the population would be below 2.
        continues: Whether members continue from their checkpoints. Where they begin anew, `R` is `sum_i b_i` above.

    Returns:
        The schedule.

    >>> plan_levels(20, 100, (7, 13, 27))
    Schedule(budgets=(7, 13, 27), evaluations=(29, 17, 8), population_size=5, paid=(0, 7, 13))
    """
    full, n_levels = budgets[-1], len(budgets)
    total = math.ceil(full_trainings * full - 1e-9)
    halving = [2 ** (n_levels - 1 - i) for i in range(n_levels)]
    paid = (0, *budgets[:-1]) if continues else (0,) * n_levels
    once, saved = sum(n * budget for n, budget in zip(halving, budgets, strict=True)), sum(paid)
    # n_i = 2^(n-1-i) c with c = (total + s * saved) / once, which is to be at least 1.5 s
    largest = math.floor(total / (_EVALUATIONS_PER_MEMBER * once - saved))
    if n_levels > 1 and largest < min(population_size, 2):
        return plan_levels(full_trainings, population_size, budgets[1:], continues=continues)
    size = max(1, min(population_size, largest))
    c = (total + size * saved) / once
    children = _spend(total - size * (sum(budgets) - saved), budgets, [n * c - size for n in halving])
    evaluations = tuple(size + m for m in children)
    return Schedule(budgets=tuple(budgets), evaluations=evaluations, population_size=size, paid=paid)


def _round_half_to_odd(x: float) -> int:
    below = math.floor(x)
    return below + (below % 2 == 0) if x - below == 0.5 else round(x)


def _spend(epochs: int, budgets: Sequence[int], ideal: Sequence[float]) -> tuple[int, ...]:
    """Children per level that cost `epochs`, as close as can be to the `ideal` numbers, by the epochs they cost."""
    full = budgets[-1]
    # By the epochs that the levels so far spend: the squared distance from the ideal, and their children.
    options: dict[int, tuple[float, tuple[int, ...]]] = {0: (0.0, ())}
    for budget, wanted in zip(budgets[:-1], ideal[:-1], strict=True):
        reach = min(_MAX_SHIFT, max(2, math.ceil(wanted / 4)))
        extended: dict[int, tuple[float, tuple[int, ...]]] = {}
        for spent, (distance, children) in options.items():
            for m in range(max(0, math.floor(wanted) - reach), math.ceil(wanted) + reach + 1):
                option = (distance + ((m - wanted) * budget) ** 2, (*children, m))
                key = spent + m * budget
                if key <= epochs:
                    extended[key] = min(option, extended.get(key, option))
        options = extended
    exact = [spent for spent in options if (epochs - spent) % full == 0]
    best = min(exact or options, key=lambda spent: options[spent][0] + (epochs - spent - ideal[-1] * full) ** 2)
    return (*options[best][1], math.ceil((epochs - best) / full))
