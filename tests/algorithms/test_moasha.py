import numpy as np
import pytest

from lightning_primo.algorithms import MOASHA, RandomSearch, rung_epochs
from lightning_primo.errors import InvalidArgumentError
from lightning_primo.problem import Problem
from lightning_primo.problem.objective import Objective
from lightning_primo.problem.trial import Evaluation, Proposal, Status
from lightning_primo.testing.problems import conditional_space, drive, evaluator, toy_problem


def one_objective(max_epochs: int = 9) -> Problem:
    return Problem(space=conditional_space(), objectives=(Objective(name="loss"),), max_epochs=max_epochs)


def tell(algorithm: MOASHA, proposal: Proposal, *losses: float, status: Status = Status.OK) -> None:
    algorithm.tell(
        Evaluation(
            trial_id=proposal.trial_id,
            epoch=proposal.epoch,
            losses=losses,
            status=status,
            cost=float(proposal.epochs),
        )
    )


@pytest.mark.parametrize(
    ("low", "high", "eta", "rungs"),
    [
        (1, 27, 3, (1, 3, 9, 27)),
        (1, 25, 3, (1, 3, 8, 25)),
        (5, 25, 3, (8, 25)),
        (1, 8, 2, (1, 2, 4, 8)),
        (2, 52, 3, (2, 6, 17, 52)),
        (7, 7, 3, (7,)),
        (1, 2, 3, (1, 2)),
    ],
)
def test_rungs_are_the_rounded_fractions_of_the_full_budget(low, high, eta, rungs):
    assert rung_epochs(low, high, eta) == rungs


def test_follows_asha_by_hand():
    algorithm = MOASHA()
    algorithm.start(one_objective(), seed=0)
    for loss in (3.0, 1.0):  # two results: floor(2 / 3) = 0 may be promoted
        proposal = algorithm.ask()
        assert (proposal.start_epoch, proposal.epoch) == (0, 1)
        tell(algorithm, proposal, loss)
    proposal = algorithm.ask()
    assert proposal.trial_id == 2
    tell(algorithm, proposal, 2.0)
    promoted = algorithm.ask()  # the best of three
    assert (promoted.trial_id, promoted.start_epoch, promoted.epoch) == (1, 1, 3)
    # it is being trained: nothing else may be promoted, and nobody waits
    assert algorithm.ask().trial_id == 3
    tell(algorithm, promoted, 0.5)
    proposal = algorithm.ask()
    assert (proposal.trial_id, proposal.start_epoch) == (4, 0)


def test_looks_at_the_highest_rung_first():
    algorithm = MOASHA()
    algorithm.start(one_objective(), seed=0)
    promoted = []
    for _ in range(40):
        proposal = algorithm.ask()
        if proposal.start_epoch:
            promoted.append((proposal.trial_id, proposal.epoch))
        tell(algorithm, proposal, float(proposal.trial_id))
    # trials are told in the order of their quality, so each third one of a rung is promoted, the higher rung first
    assert promoted[:4] == [(0, 3), (1, 3), (2, 3), (0, 9)]


def test_a_failed_trial_fills_its_rung_but_is_not_promoted():
    algorithm = MOASHA()
    algorithm.start(one_objective(), seed=0)
    proposals = []
    for losses, status in [((2.0,), Status.OK), ((float("nan"),), Status.DIVERGED), ((float("nan"),), Status.ERROR)]:
        proposals.append(algorithm.ask())
        tell(algorithm, proposals[-1], *losses, status=status)
    assert algorithm.ask().trial_id == 0


def test_a_rejected_trial_does_not_count():
    algorithm = MOASHA()
    algorithm.start(one_objective(), seed=0)
    for status in (Status.OK, Status.REJECTED, Status.OK):
        proposal = algorithm.ask()
        tell(algorithm, proposal, 1.0, status=status)
    assert algorithm.ask().start_epoch == 0


def test_ranks_a_rung_by_fronts_then_spreads_over_the_front():
    problem = Problem(space=conditional_space(), objectives=(Objective(name="a"), Objective(name="b")), max_epochs=3)
    algorithm = MOASHA()
    algorithm.start(problem, seed=0)
    # six trials: a front of four of which 1 has the least a, 4 is farthest from it; 0 and 5 are dominated
    losses = [(0.9, 0.95), (0.0, 1.0), (0.1, 0.9), (0.2, 0.85), (1.0, 0.0), (1.1, 1.2)]
    waiting = [algorithm.ask() for _ in losses]
    for proposal, loss in zip(waiting, losses, strict=True):
        tell(algorithm, proposal, *loss)
    assert [algorithm.ask().trial_id, algorithm.ask().trial_id] == [1, 4]


def test_beats_random_sampling_at_the_same_cost():
    """The premise of early stopping: more good full trainings for the same epochs, on learning curves."""
    problem = toy_problem(1)
    best = {}
    for name in ("moasha", "random"):
        results = []
        for seed in range(8):
            algorithm = MOASHA() if name == "moasha" else RandomSearch()
            algorithm.start(problem, seed=seed)
            events = drive(algorithm, evaluator(problem), epochs=12 * 27)
            results.append(min(e.losses[0] for e in events if isinstance(e, Evaluation) and e.epoch == 27))
        best[name] = np.median(results)
    assert best["moasha"] < best["random"]


@pytest.mark.parametrize("eta", [1, 0, 2.5, True, "3"])
def test_eta_must_be_a_whole_number_of_at_least_two(eta):
    with pytest.raises(InvalidArgumentError, match="'eta'"):
        MOASHA(eta=eta)
