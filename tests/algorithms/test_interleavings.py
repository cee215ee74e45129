"""Whatever the order in which results come back, the log restores the state, and no work is proposed twice."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lightning_primo.algorithms import (
    CMAES,
    MOASHA,
    NSGA2,
    PBT,
    SHEMOA,
    EvolutionarySampler,
    GridSearch,
    PriMO,
    RegularizedEvolution,
    SuccessiveHalving,
)
from lightning_primo.problem.trial import Proposal
from lightning_primo.testing.conformance import assert_goes_on
from lightning_primo.testing.problems import evaluator, toy_problem
from lightning_primo.testing.simulation import simulate

PROBLEM = toy_problem(2, max_epochs=9)


ALGORITHMS = {
    "MOASHA": MOASHA,
    "SuccessiveHalving": SuccessiveHalving,
    "SHEMOA": lambda: SHEMOA(full_trainings=8),
    "CMAES": lambda: CMAES(population_size=4),
    "NSGA2": lambda: NSGA2(population_size=4),
}
LIKE_THEM = {
    "RegularizedEvolution": lambda: RegularizedEvolution(population_size=4),
    "MOASHA, bred": lambda: MOASHA(sampler=EvolutionarySampler(population_size=4)),
    "GridSearch": GridSearch,
    "PBT": lambda: PBT(population=4),
}
CASES = [
    *(pytest.param(make, id=name) for name, make in ALGORITHMS.items()),
    *(pytest.param(make, id=name, marks=pytest.mark.slow) for name, make in LIKE_THEM.items()),
]


@pytest.mark.parametrize("make", CASES)
@settings(max_examples=12, deadline=None, derandomize=True)
@given(
    n_workers=st.sampled_from([2, 3, 8, 64]),
    seed=st.integers(0, 2**16),
    straggling=st.sampled_from([0.0, 0.1, 0.5]),
    failing=st.sampled_from([0.0, 0.3, 0.7]),
    share=st.floats(0, 1),
)
def test_any_interleaving_is_restored_and_repeats_nothing(make, n_workers, seed, straggling, failing, share):
    algorithm = make()
    algorithm.start(PROBLEM, seed=seed)
    events = simulate(
        algorithm,
        evaluator(PROBLEM),
        epochs=8 * 9,
        n_workers=n_workers,
        seed=seed,
        straggling=straggling,
        failing=failing,
    ).events
    proposals = [(event.trial_id, event.epoch) for event in events if isinstance(event, Proposal)]
    assert len(set(proposals)) == len(proposals)
    keys = [algorithm.encoding.key(trial.config) for trial in algorithm.trials]
    assert len(set(keys)) == len(keys)
    restored = make()
    restored.start(PROBLEM, seed=seed)
    n_events = int(share * len(events))
    restored.restore(events[:n_events])
    assert_goes_on(restored, events[n_events:], epochs=8 * 9)
    assert restored.ask() == algorithm.ask()


@settings(max_examples=4, deadline=None, derandomize=True)
@given(n_workers=st.sampled_from([2, 4]), seed=st.integers(0, 2**16), failing=st.sampled_from([0.0, 0.3]))
def test_trainings_that_are_paused_go_on_where_they_are_whoever_began_them(n_workers, seed, failing):
    """Of the design and of what is proposed by the model: no epoch is trained twice, none is left out."""
    algorithm = PriMO(n_init=1)
    algorithm.start(PROBLEM, seed=seed)
    events = simulate(
        algorithm, evaluator(PROBLEM), epochs=9 * 9, n_workers=n_workers, seed=seed, failing=failing
    ).events
    reached: dict[int, int] = {}
    pending: set[int] = set()
    for event in events:
        if isinstance(event, Proposal):
            assert event.trial_id not in pending
            assert event.start_epoch == reached.get(event.trial_id, 0) < event.epoch
            pending.add(event.trial_id)
        else:
            pending.remove(event.trial_id)
            reached[event.trial_id] = event.epoch if event.ok else 99
    gone_on = [event for event in events if isinstance(event, Proposal) and event.operation == "bayesian"]
    assert failing or any(event.start_epoch for event in gone_on)
