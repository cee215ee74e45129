from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from benchmarks.ranked_priors import ranked_priors
from lightning_primo import PriMO
from lightning_primo.analysis import PriorEffect, Verdict, prior_effect
from lightning_primo.problem.objective import Objective
from lightning_primo.problem.trial import Config, Evaluation, Origin, Proposal, Status, Trial, fold_events
from lightning_primo.space import EncodedPrior, Encoding, Prior
from lightning_primo.testing.problems import drive, evaluator, toy_problem, toy_values
from tests.analysis.spaces import cube, problem_on, trials_of

PROBLEM = toy_problem(2)
ENCODING = Encoding(PROBLEM.space)


def losses(configs: Sequence[Config], epoch: int = 27) -> np.ndarray:
    rows = [toy_values(config, epoch) for config in configs]
    return np.array([[o.loss(row[o.name]) for o in PROBLEM.objectives] for row in rows])


GOOD, MISLEADING = ranked_priors(PROBLEM, losses)


def trial(i: int, config: Config, prior: str | None) -> Trial:
    (row,) = losses([config], 1).tolist()
    return Trial(id=i, config=config, prior=prior, evaluations=(Evaluation(trial_id=i, epoch=1, losses=tuple(row)),))


def searched(priors: dict[str, Prior], seed: int) -> list[Trial]:
    """Trials as a search has them: random ones, and some near each prior."""
    rng = np.random.default_rng(seed)
    drawn = [(None, ENCODING.sample(18, rng))]
    drawn += [(name, EncodedPrior(prior, ENCODING).sample(5, rng)) for name, prior in priors.items()]
    rows = [(config, name) for name, vectors in drawn for config in ENCODING.configs(vectors)]
    return [trial(i, config, name) for i, (config, name) in enumerate(rows)]


def effects(priors: dict[str, Prior], trials: Sequence[Trial]) -> list[PriorEffect]:
    return [prior_effect(PROBLEM, trials, name, prior, ENCODING, ()) for name, prior in priors.items()]


@pytest.mark.parametrize(("priors", "right", "wrong"), [(GOOD, "helped", "hurt"), (MISLEADING, "hurt", "helped")])
def test_good_priors_help_and_misleading_ones_hurt(priors: dict[str, Prior], right: str, wrong: str) -> None:
    verdicts = [effect.verdict.value for seed in range(10) for effect in effects(priors, searched(priors, seed))]
    assert verdicts.count(right) >= 18
    assert wrong not in verdicts


def test_of_losses_that_have_nothing_to_do_with_it_a_prior_is_undecided() -> None:
    rng = np.random.default_rng(0)
    decided = 0
    for seed in range(25):
        trials = searched(GOOD, seed)
        shuffled = rng.permutation(len(trials))
        unrelated = [replace(t, evaluations=trials[i].evaluations) for t, i in zip(trials, shuffled, strict=True)]
        decided += sum(effect.verdict is not Verdict.UNDECIDED for effect in effects(GOOD, unrelated))
    assert decided <= 6  # of 50, of which 1 in 20 are expected


def test_the_sides_are_counted() -> None:
    problem = problem_on(cube(1), Objective(name="score", mode="max"))
    prior, encoding = Prior({"x0": 0.9}), Encoding(problem.space)
    trials = trials_of(problem, lambda c: [-c["x0"]], 6)
    trials = [replace(t, prior="score" if i < 2 else None) for i, t in enumerate(trials)]
    trials[5] = replace(trials[5], config={"x0": 0.9})  # the centre, which a design tries first
    found = prior_effect(problem, trials, "score", prior, encoding, {0, 5, 3})
    values = [-t.evaluations[0].losses[0] for t in trials]
    guided, free = [values[i] for i in (0, 1, 5)], values[2:5]
    assert (found.guided.trials, found.guided.front) == (3, 2)
    assert (found.free.trials, found.free.front) == (3, 1)
    assert found.guided.best == max(guided)
    assert found.free.median == pytest.approx(float(np.median(free)))
    assert found.superiority == pytest.approx(np.mean([g > f for g in guided for f in free]))
    assert (found.epoch, found.trials) == (9, 6)


def test_what_the_user_gave_or_knew_is_no_proposal() -> None:
    problem = problem_on(cube(1), Objective(name="error"))
    prior, encoding = Prior({"x0": 0.0}), Encoding(problem.space)
    trials = [replace(t, prior="error" if t.id < 4 else None) for t in trials_of(problem, lambda c: [c["x0"]], 12)]
    trials[4] = replace(trials[4], config={"x0": 0.0})  # the prior's centre
    own = {3: Origin.GIVEN, 4: Origin.GIVEN, 10: Origin.KNOWN, 11: Origin.GIVEN}
    trials = [replace(t, origin=own.get(t.id, Origin.ALGORITHM)) for t in trials]
    found = prior_effect(problem, trials, "error", prior, encoding, {4, 10, 11})
    assert (found.guided.trials, found.free.trials, found.trials) == (3, 5, 12)
    assert (found.guided.front, found.free.front) == (0, 0)


def test_full_trainings_that_say_the_opposite_leave_it_undecided() -> None:
    problem = problem_on(cube(1), Objective(name="error"))
    prior, encoding = Prior({"x0": 0.0}), Encoding(problem.space)

    def with_full(sign: float) -> list[Trial]:
        return [
            replace(
                t,
                prior="error" if t.id < 5 else None,
                evaluations=(
                    Evaluation(trial_id=t.id, epoch=1, losses=(t.config["x0"],)),  # type: ignore[arg-type]
                    Evaluation(trial_id=t.id, epoch=9, losses=(sign * t.config["x0"],)),  # type: ignore[operator]
                ),
            )
            for t in trials_of(problem, lambda c: [0.0], 30)
        ]

    verdicts = [prior_effect(problem, with_full(s), "error", prior, encoding, ()).verdict for s in (1.0, -1.0)]
    assert verdicts == [Verdict.HELPED, Verdict.UNDECIDED]


def test_without_values_or_guided_trials_nothing_is_said() -> None:
    problem = problem_on(cube(1), Objective(name="error"))
    prior, encoding = Prior({"x0": 0.0}), Encoding(problem.space)
    lost = [
        replace(t, evaluations=(replace(t.evaluations[0], losses=(math.nan,), status=Status.DIVERGED),))
        for t in trials_of(problem, lambda c: [0.0], 3)
    ]
    for trials in ([], lost):
        found = prior_effect(problem, trials, "error", prior, encoding, ())
        assert (found.verdict, found.right, found.trials) == (Verdict.UNDECIDED, 0.5, 0)
        assert math.isnan(found.superiority)
    unguided = trials_of(problem, lambda c: [c["x0"]], 30)
    found = prior_effect(problem, unguided, "error", prior, encoding, ())
    assert found.right > 0.99
    assert found.verdict is Verdict.UNDECIDED


def test_proposals_say_whose_prior_weighted_them() -> None:
    algorithm = PriMO(priors=GOOD, n_init=1, epsilon=0.0, pause=None)
    algorithm.start(PROBLEM, seed=0)
    events = drive(algorithm, evaluator(PROBLEM), epochs=5 * 27)
    new = {event.trial_id: event for event in reversed(events) if isinstance(event, Proposal)}
    weighted = {proposal.prior for proposal in new.values() if proposal.operation == "bayesian"}
    assert weighted
    assert weighted <= set(GOOD)
    assert {proposal.prior for proposal in new.values() if proposal.operation == "sample"} == {None}
    assert [t.prior for t in fold_events(events)] == [new[t.id].prior for t in algorithm.trials]


@pytest.mark.slow
@pytest.mark.parametrize(("priors", "right", "wrong"), [(GOOD, "helped", "hurt"), (MISLEADING, "hurt", "helped")])
def test_in_whole_searches_too(priors: dict[str, Prior], right: str, wrong: str) -> None:
    verdicts = []
    for seed in range(3):
        algorithm = PriMO(priors=priors)
        algorithm.start(PROBLEM, seed=seed)
        drive(algorithm, evaluator(PROBLEM), epochs=10 * 27)
        verdicts += [effect.verdict.value for effect in effects(priors, algorithm.trials)]
    assert verdicts.count(right) >= 5
    assert wrong not in verdicts
