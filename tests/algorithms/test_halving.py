import math

from ConfigSpace import ConfigurationSpace

from lightning_primo.algorithms import Hyperband, SuccessiveHalving
from lightning_primo.problem import Problem
from lightning_primo.problem.objective import Objective
from lightning_primo.problem.trial import Evaluation, Proposal, Status
from lightning_primo.testing.problems import conditional_space


def problem(min_epochs: int = 1, max_epochs: int = 9) -> Problem:
    return Problem(
        space=conditional_space(),
        objectives=(Objective(name="loss"),),
        min_epochs=min_epochs,
        max_epochs=max_epochs,
    )


def answer(proposal: Proposal, loss: float, status: Status = Status.OK) -> Evaluation:
    return Evaluation(
        trial_id=proposal.trial_id,
        epoch=proposal.epoch,
        losses=(loss,),
        status=status,
        cost=float(proposal.epochs),
    )


def test_a_bracket_halves_and_then_a_new_one_begins():
    algorithm = SuccessiveHalving()
    algorithm.start(problem(), seed=0)
    log = []
    for _ in range(14):
        proposal = algorithm.ask()
        log.append((proposal.trial_id, proposal.start_epoch, proposal.epoch))
        algorithm.tell(answer(proposal, -float(proposal.trial_id)))
    assert log[:9] == [(i, 0, 1) for i in range(9)]
    assert log[9:12] == [(8, 1, 3), (7, 1, 3), (6, 1, 3)]
    assert log[12] == (8, 3, 9)
    assert log[13] == (9, 0, 1)


def test_waits_for_no_one_but_never_promotes_from_an_unfinished_rung():
    algorithm = SuccessiveHalving(n_configurations=3)
    algorithm.start(problem(), seed=0)
    first = [algorithm.ask() for _ in range(3)]
    for proposal in first[:2]:
        algorithm.tell(answer(proposal, 1.0))
    early = algorithm.ask()  # a worker is free: the next bracket begins
    assert (early.trial_id, early.start_epoch) == (3, 0)
    algorithm.tell(answer(first[2], 0.0))
    promoted = algorithm.ask()
    assert (promoted.trial_id, promoted.epoch) == (2, 3)


def test_a_late_trial_delays_its_bracket_by_one_bracket_at_most():
    algorithm = SuccessiveHalving(n_configurations=3)
    algorithm.start(problem(), seed=0)
    first = [algorithm.ask() for _ in range(3)]
    for proposal in first[:2]:
        algorithm.tell(answer(proposal, float(proposal.trial_id)))
    assert [algorithm.ask().trial_id for _ in range(3)] == [3, 4, 5]  # the second bracket
    early = algorithm.ask()
    assert (early.trial_id, early.start_epoch, early.epoch) == (0, 1, 3)
    algorithm.tell(answer(early, 0.0))
    top = algorithm.ask()
    assert (top.trial_id, top.epoch) == (0, 9)
    assert algorithm.ask().trial_id == 6  # the third bracket
    algorithm.tell(answer(first[2], -1.0))  # better than all, but the only place is taken
    assert algorithm.ask().trial_id == 7


def test_of_an_unfinished_rung_no_larger_share_goes_on_than_has_come_back():
    algorithm = SuccessiveHalving(n_configurations=9)
    algorithm.start(problem(max_epochs=3), seed=0)
    first = [algorithm.ask() for _ in range(9)]
    for proposal in first[:4]:
        algorithm.tell(answer(proposal, float(proposal.trial_id)))
    # without half of the rung: the second bracket, and the first of the third
    assert {algorithm.ask().start_epoch for _ in range(10)} == {0}
    algorithm.tell(answer(first[4], -1.0))
    assert [algorithm.ask().trial_id for _ in range(3)] == [4, 0, 19]  # 5 of 9 for ceil(3 * 5 / 9) places


def test_in_an_exhausted_space_idle_workers_go_on_with_what_is_there():
    algorithm = SuccessiveHalving(n_configurations=9)
    space = ConfigurationSpace({"activation": ["relu", "gelu", "tanh"]}, seed=0)
    algorithm.start(Problem(space=space, objectives=(Objective(name="loss"),), max_epochs=9), seed=0)
    first = [algorithm.ask() for _ in range(3)]
    assert algorithm.ask() is None
    algorithm.tell(answer(first[1], 1.0))
    early = algorithm.ask()
    assert (early.trial_id, early.epoch) == (1, 3)
    assert algorithm.ask() is None


def test_failed_trials_leave_their_place_to_others():
    algorithm = SuccessiveHalving(n_configurations=3)
    algorithm.start(problem(max_epochs=3), seed=0)
    proposals = [algorithm.ask() for _ in range(3)]
    algorithm.tell(answer(proposals[0], math.nan, Status.DIVERGED))
    algorithm.tell(answer(proposals[1], math.nan, Status.OUT_OF_MEMORY))
    algorithm.tell(answer(proposals[2], 5.0))
    assert algorithm.ask().trial_id == 2


def test_hyperband_runs_the_brackets_of_the_paper():
    """R = 9, eta = 3: s = 2 has 9 at 1; s = 1 has ceil(3/2 * 3) = 5 at 3; s = 0 has 3 at 9 (Li et al. 2018)."""
    algorithm = Hyperband()
    algorithm.start(problem(), seed=0)
    started = []
    for _ in range(9 + 3 + 1 + 5 + 1 + 3 + 9):
        proposal = algorithm.ask()
        started.append((proposal.start_epoch, proposal.epoch))
        algorithm.tell(answer(proposal, float(proposal.trial_id)))
    expected = [(0, 1)] * 9 + [(1, 3)] * 3 + [(3, 9)] + [(0, 3)] * 5 + [(3, 9)] + [(0, 9)] * 3 + [(0, 1)] * 9
    assert started == expected
