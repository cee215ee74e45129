"""Spending, failures and families, on logs written by hand."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from lightning_primo.analysis import failure_groups, family, occupancy, spending
from lightning_primo.problem.objective import Kind, Objective
from lightning_primo.problem.trial import Evaluation, Proposal, Status, Trial, fold_events
from tests.results.search_log import ERROR, PARAMETERS, Log, make_problem, two_objective_log


def test_every_epoch_and_second_is_accounted_for_once() -> None:
    log = two_objective_log()
    trials = fold_events(event for event, _ in log.events)
    spent = {one.fate: one for one in spending(log.problem, trials, {1, 2, 4})}
    assert {name: (one.trials, one.epochs) for name, one in spent.items()} == {
        "on the front": (3, 27.0),
        "trained fully": (1, 9.0),
        "trained partly": (1, 3.0),
        "diverged": (1, 3.0),
        "rejected": (1, 0.0),
        "pending": (1, 0.0),
    }
    told = [event for event, _ in log.events if isinstance(event, Evaluation)]
    assert sum(one.seconds for one in spent.values()) == sum(evaluation.seconds for evaluation in told)
    assert [one.epochs for one in spending(log.problem, trials, {1, 2, 4})] == sorted(
        (one.epochs for one in spent.values()), reverse=True
    )


def test_a_full_training_that_breaks_a_bound_is_infeasible() -> None:
    bounded = replace(make_problem(replace(ERROR, at_most=0.6)), constraints=(Objective(name="gap", at_most=0.1),))
    log = Log(bounded)
    log.train(0, (0.5,), measurements={"gap": 0.05})
    log.train(1, (0.1,), measurements={"gap": 0.3})
    log.train(2, (0.9,), measurements={"gap": 0.0})
    log.train(3, (0.9,), 3, measurements={"gap": 0.3})  # nobody knows of a partial training
    trials = fold_events(event for event, _ in log.events)
    assert {one.fate: one.trials for one in spending(bounded, trials, {0})} == {
        "on the front": 1,
        "infeasible": 2,
        "trained partly": 1,
    }


def test_occupancy_of_two_workers() -> None:
    def ask(trial: int) -> Proposal:
        return Proposal(trial_id=trial, config={}, epoch=1)

    def tell(trial: int, seconds: float, status: Status = Status.OK) -> Evaluation:
        return Evaluation(trial_id=trial, epoch=1, losses=(0.0,), seconds=seconds, status=status)

    events = [(ask(0), 0.0), (ask(1), 1.0), (tell(0, 3.0), 4.0), (ask(2), 5.0), (tell(2, 0.0, Status.REJECTED), 5.0)]
    events += [(tell(1, 8.0), 10.0), (ask(3), 10.0)]
    seen = occupancy(events)
    # Two workers for ten seconds: busy are 4 of trial 0 and 9 of trial 1, at work 3 and 8; what is rejected takes none.
    assert (seen.workers, seen.seconds, seen.busy, seen.at_work, seen.idle) == (2, 10.0, 13.0, 11.0, 7.0)
    assert occupancy([]).idle == 0.0


def test_failures_are_grouped_by_cause() -> None:
    log = Log(make_problem(ERROR, PARAMETERS))
    unknown = (math.nan, 100.0)
    for i, line in enumerate(("a.py:3", "a.py:3", "b.py:7")):
        log.train(i, unknown, 2, status=Status.ERROR, signature=f"ValueError at {line}", reason=f"ValueError: {i}\nat")
    log.train(3, unknown, 1, status=Status.DIVERGED, reason="val_error is nan")
    log.train(4, unknown, 2, status=Status.DIVERGED, reason="the loss is inf")
    log.train(5, (math.nan, 1e6), 0, status=Status.REJECTED, reason="parameters = 1000000 exceeds at_most = 10000")
    log.train(6, (0.5, 100.0))
    groups = failure_groups(log.problem, fold_events(event for event, _ in log.events))
    assert [(g.status, g.cause, g.trials, g.epochs) for g in groups] == [
        (Status.ERROR, "ValueError at a.py:3", (0, 1), 4.0),
        (Status.DIVERGED, "", (3, 4), 3.0),
        (Status.ERROR, "ValueError at b.py:7", (2,), 2.0),
        (Status.REJECTED, "parameters", (5,), 0.0),
    ]
    assert groups[0].example == "ValueError: 1"
    assert groups[0].details == "ValueError: 1\nat"


def test_rejections_by_constraints_have_a_cause_and_what_was_stopped_is_no_failure() -> None:
    limits = (Objective(name="flops", kind=Kind.EXACT, at_most=10.0), Objective(name="depth", at_least=2.0))
    log = Log(replace(make_problem(ERROR), constraints=limits))
    for i, measurements in enumerate(({"flops": 11.0, "depth": 3.0}, {"flops": 12.0}, {"flops": 12.0, "depth": 1.0})):
        log.train(i, (math.nan,), 0, status=Status.REJECTED, reason="too much", measurements=measurements)
    log.train(3, (math.nan,), 2, status=Status.STOPPED, reason="stopped by its user")
    groups = failure_groups(log.problem, fold_events(event for event, _ in log.events))
    assert [(group.cause, group.trials) for group in groups] == [("flops", (0, 1)), ("flops, depth", (2,))]


def test_a_family_is_laid_out_with_parents_between_their_children() -> None:
    parents = {0: None, 1: 0, 2: 0, 3: 1, 4: None, 5: 1, 6: None, 7: 6}
    trials = [Trial(id=i, config={}, parent=parent) for i, parent in parents.items()]
    found = {one.trial: one for one in family(trials)}
    assert list(found) == [0, 1, 3, 5, 2, 6, 7]  # 4 has neither parent nor child
    assert {i: one.row for i, one in found.items()} == {3: 0, 5: 1, 1: 0.5, 2: 2, 0: 1.25, 7: 3, 6: 3}
    assert {i: one.generation for i, one in found.items()} == {0: 0, 1: 1, 2: 1, 3: 2, 5: 2, 6: 0, 7: 1}
    assert family([Trial(id=0, config={})]) == ()


def test_a_long_family_is_no_depth_of_calls() -> None:
    trials = [Trial(id=i, config={}, parent=i - 1 if i else None) for i in range(5000)]
    found = family(trials)
    assert found[-1].generation == 4999
    assert {one.row for one in found} == {0.0}


@pytest.mark.parametrize("events", [[], [(Proposal(trial_id=0, config={}, epoch=1), 0.0)]])
def test_a_search_that_has_only_begun(events: list[tuple[Proposal | Evaluation, float]]) -> None:
    seen = occupancy(events)
    assert (seen.busy, seen.idle) == (0.0, 0.0)
