"""Population-based training: who is replaced, by whom, and with what."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from ConfigSpace import Categorical, ConfigurationSpace, Float, Integer, OrdinalHyperparameter

from lightning_primo.algorithms import PB2, PBT, BayesianOptimization, Perturb, Resample
from lightning_primo.algorithms.parts.training_hyperparameters import TrainingHyperparameters
from lightning_primo.algorithms.pbt import interval_epochs
from lightning_primo.errors import InvalidArgumentError, UnknownNameError
from lightning_primo.pareto import fronts
from lightning_primo.problem import Problem
from lightning_primo.problem.objective import Objective
from lightning_primo.problem.trial import Evaluation, Proposal, Status, lineage
from lightning_primo.space import Encoding
from lightning_primo.testing.problems import drive, evaluator, toy_problem

R = 6


def problem(n_objectives: int = 1, **hyperparameters: Any) -> Problem:
    space = ConfigurationSpace(seed=0)
    space.add(Float("lr", (1e-5, 1.0), log=True), Integer("width", (4, 64)))
    names = ("error", "cost")[:n_objectives]
    return Problem(
        space=space,
        objectives=tuple(Objective(name=name) for name in names),
        max_epochs=R,
        network=lambda config: str(config["width"]),
    )


def told(proposal: Proposal, *losses: float, **fields: Any) -> Evaluation:
    return Evaluation(
        **{
            "trial_id": proposal.trial_id,
            "epoch": proposal.epoch,
            "losses": losses,
            "cost": float(proposal.epochs),
            **fields,
        }
    )


def started(n_objectives: int = 1, **options: Any) -> PBT:
    algorithm = PBT(**{"population": 8, "interval": 2, **options})
    algorithm.start(problem(n_objectives), seed=3)
    return algorithm


def first_interval(algorithm: PBT, losses: Callable[[int], tuple[float, ...]]) -> None:
    proposals = [algorithm.ask() for _ in range(algorithm.population)]
    for proposal in proposals:
        assert proposal is not None
        assert (proposal.start_epoch, proposal.epoch, proposal.operation) == (0, 2, "sample")
        algorithm.tell(told(proposal, *losses(proposal.trial_id)))


def asked(algorithm: PBT, n: int) -> list[Proposal]:
    proposals = [algorithm.ask() for _ in range(n)]
    assert None not in proposals
    return [proposal for proposal in proposals if proposal is not None]


def test_the_worst_quarter_takes_over_the_best_and_all_others_go_on() -> None:
    algorithm = started()
    first_interval(algorithm, lambda trial_id: (float(trial_id),))
    second = asked(algorithm, 8)
    assert [p.trial_id for p in second] == [0, 1, 2, 3, 4, 5, 8, 9]
    assert {(p.start_epoch, p.epoch) for p in second} == {(2, 4)}
    for fork in second[6:]:
        assert (fork.operation, fork.inherits) == ("perturb", True)
        assert fork.parent in (0, 1)
        parent = algorithm.trials[fork.parent]
        assert fork.config["width"] == parent.config["width"]
        assert fork.config["lr"] != parent.config["lr"]
        assert lineage(algorithm.trials, algorithm.trials[fork.trial_id]) == (
            algorithm.trials[fork.parent],
            algorithm.trials[fork.trial_id],
        )
    assert not algorithm.may_continue(algorithm.trials[6])
    assert algorithm.epochs_committed == 8 * 4


def test_with_several_objectives_the_last_front_takes_over_the_first() -> None:
    n = 8
    rng = np.random.default_rng(0)
    losses = rng.random((n, 2))
    algorithm = started(2)
    first_interval(algorithm, lambda trial_id: tuple(losses[trial_id].tolist()))
    order = [row for front in fronts(losses) for row in front]
    forks = [p for p in asked(algorithm, n) if p.inherits]
    replaced = {trial.id for trial in algorithm.trials[:n]} - {p.trial_id for p in asked_before(algorithm)}
    assert replaced <= set(order[-max(2, len(fronts(losses)[-1])) :])
    assert {fork.parent for fork in forks} <= set(fronts(losses)[0].tolist())
    assert len(forks) == len(replaced) == 2


def asked_before(algorithm: PBT) -> list[Proposal]:
    return [algorithm.promotion(trial.id, R) for trial in algorithm.pending if not trial.start_epoch]


def test_whoever_is_behind_is_trained_first_and_nobody_waits() -> None:
    algorithm = started(population=4)
    a, b, c, d = asked(algorithm, 4)
    algorithm.tell(told(b, 0.1))
    (b2,) = asked(algorithm, 1)  # nobody else is there to compare with
    assert (b2.trial_id, b2.start_epoch, b2.epoch) == (b.trial_id, 2, 4)
    algorithm.tell(told(a, 0.2))
    (fork,) = asked(algorithm, 1)  # the worse of the two that have come so far
    assert (fork.parent, fork.start_epoch, fork.epoch) == (b.trial_id, 2, 4)
    assert algorithm.may_fork(algorithm.trials[b.trial_id], 2)  # c and d are still to come
    algorithm.tell(told(b2, 0.1))
    algorithm.tell(told(c, 0.05))
    (c2,) = asked(algorithm, 1)  # behind b
    assert (c2.trial_id, c2.start_epoch) == (c.trial_id, 2)
    algorithm.tell(told(d, 0.3))
    (late,) = asked(algorithm, 1)  # takes over where the best of all four was
    assert (late.parent, late.start_epoch) == (c.trial_id, 2)


def test_what_may_be_taken_over_is_kept_until_everybody_is_beyond() -> None:
    algorithm = started(population=4)
    first_interval(algorithm, lambda trial_id: (float(trial_id),))
    best = algorithm.trials[0]
    second = asked(algorithm, 4)
    assert algorithm.may_fork(algorithm.trials[0], 2)  # the fork may be killed before it has a checkpoint
    for proposal in second:
        assert algorithm.may_fork(best, 2)
        algorithm.tell(told(proposal, 0.0))
    assert not algorithm.may_fork(best, 2)
    assert not algorithm.may_fork(algorithm.trials[1], 2)
    assert all(algorithm.may_continue(trial) for trial in algorithm.trials if trial.id != 3)
    for _ in range(4):
        (last,) = asked(algorithm, 1)
        algorithm.tell(told(last, 0.0))
    assert not any(algorithm.may_continue(trial) for trial in algorithm.trials)
    assert asked(algorithm, 1)[0].start_epoch == 0  # another population


def test_a_member_that_fails_is_replaced_where_it_set_out_from() -> None:
    algorithm = started(population=4)
    first_interval(algorithm, lambda trial_id: (float(trial_id),))
    second = asked(algorithm, 4)
    lost = second[1]
    algorithm.tell(told(lost, float("nan"), epoch=3, cost=1.0, status=Status.DIVERGED))
    (fork,) = asked(algorithm, 1)
    assert (fork.parent, fork.start_epoch, fork.epoch, fork.inherits) == (0, 2, 4, True)
    for proposal in (second[0], *second[2:], fork):
        algorithm.tell(told(proposal, float("nan"), epoch=3, cost=1.0, status=Status.DIVERGED))
    (new,) = asked(algorithm, 1)  # nobody is left
    assert (new.start_epoch, new.inherits, new.operation) == (0, False, "sample")


def test_a_member_that_fails_before_it_has_come_anywhere_is_replaced_by_who_has() -> None:
    algorithm = started(population=4)
    a, b, c, d = asked(algorithm, 4)
    algorithm.tell(told(a, float("nan"), epoch=1, cost=1.0, status=Status.DIVERGED))
    (again,) = asked(algorithm, 1)
    assert (again.start_epoch, again.inherits) == (0, False)
    for proposal, loss in ((b, 0.1), (c, 0.2)):
        algorithm.tell(told(proposal, loss))
    asked(algorithm, 2)
    algorithm.tell(told(d, float("nan"), epoch=1, cost=1.0, status=Status.DIVERGED))
    (fork,) = asked(algorithm, 1)
    assert (fork.parent, fork.start_epoch, fork.epoch) == (b.trial_id, 2, 4)


def test_a_schedule_is_a_full_training() -> None:
    n_full = 2
    toy = toy_problem(1)
    algorithm = PBT(population=4)
    algorithm.start(toy, seed=0)
    events = drive(algorithm, evaluator(toy), epochs=n_full * 4 * 27)
    full = [trial for trial in algorithm.trials if trial.at(27) is not None]
    assert len(full) == n_full * 4
    assert any(len(lineage(algorithm.trials, trial)) > 2 for trial in full)
    for trial in full:
        line = lineage(algorithm.trials, trial)
        ends = [*(later.start_epoch for later in line[1:]), 27]
        own = [end - member.start_epoch for member, end in zip(line, ends, strict=True)]
        assert sum(own) == 27
        curve = [epoch for e in trial.evaluations for epoch in e.curve]
        assert curve == list(range(trial.start_epoch + 1, 28))
    assert sum(event.cost for event in events if isinstance(event, Evaluation)) == n_full * 4 * 27


def test_perturbed_numbers_are_multiplied_and_choices_stay() -> None:
    space = ConfigurationSpace(seed=0)
    space.add(
        Float("lr", (1e-4, 1.0), log=True),
        Float("dropout", (0.0, 0.9)),
        Integer("batch", (1, 512), log=True),
        OrdinalHyperparameter("size", ["s", "m", "l", "xl"]),
        Categorical("kind", ["sgd", "adam"]),
        Integer("width", (4, 64)),
    )
    algorithm = PBT(population=4)
    algorithm.start(Problem(space=space, objectives=(Objective(name="error"),), max_epochs=4), seed=0)
    config = {"lr": 0.01, "dropout": 0.5, "batch": 100, "size": "m", "kind": "sgd", "width": 10}
    parent = replace(algorithm_trial(algorithm), config=config)
    names = ("lr", "dropout", "batch", "size", "kind")
    candidates = Perturb(resample=0.0).vectors(algorithm, parent, names, 1, np.random.default_rng(0))
    found = [algorithm.encoding.config(next(candidates)) for _ in range(60)]
    assert {round(c["lr"], 9) for c in found} == {0.008, 0.012}
    assert {round(c["dropout"], 9) for c in found} == {0.4, 0.6}
    assert {c["batch"] for c in found} == {80, 120}
    assert {c["size"] for c in found} == {"s", "l"}
    assert {(c["kind"], c["width"]) for c in found} == {("sgd", 10)}
    stuck = replace(parent, config={**config, "dropout": 0.0, "batch": 1})
    candidates = Perturb(resample=0.0).vectors(algorithm, stuck, names, 1, np.random.default_rng(0))
    moved = [algorithm.encoding.config(next(candidates)) for _ in range(20)]
    assert all(c["dropout"] > 0 and c["batch"] > 1 for c in moved)
    anew = Resample().vectors(algorithm, parent, ("kind", "lr"), 1, np.random.default_rng(0))
    drawn = [algorithm.encoding.config(next(anew)) for _ in range(30)]
    assert {c["kind"] for c in drawn} == {"sgd", "adam"}
    assert len({c["lr"] for c in drawn}) == 30


def algorithm_trial(algorithm: PBT) -> Any:
    (proposal,) = asked(algorithm, 1)
    return algorithm.trials[proposal.trial_id]


def test_hyperparameters_of_training_are_the_numbers_that_leave_the_network_as_it_is() -> None:
    toy = toy_problem(2)
    rule = TrainingHyperparameters(toy, Encoding(toy.space), None)
    config = {"n_layers": 1, "width_1": 8, "lr": 0.01, "dropout": 0.1, "activation": "relu", "norm": True}
    assert set(rule.of(config)) - {"width_2", "width_3"} == {"lr", "dropout"}
    assert rule.leave_network(config, {**config, "lr": 0.1})
    assert not rule.leave_network(config, {**config, "width_1": 9})
    named = TrainingHyperparameters(toy, Encoding(toy.space), ["activation"])
    assert named.of(config) == ("activation",)
    with pytest.raises(UnknownNameError, match="hyperparameter in 'hyperparameters': 'rate'"):
        PBT(hyperparameters=["rate"]).start(toy)


def test_the_bandit_finds_what_improves() -> None:
    """A loss that falls by how near the learning rate is to 1e-2: PB2 goes there, a perturbation cannot know."""

    def values(config: Any, epoch: int) -> dict[str, float]:
        return {"error": -epoch * float(np.exp(-((np.log10(config["lr"]) + 2) ** 2)))}

    narrow = replace(problem(), max_epochs=14)
    algorithm = PB2(population=4, interval=1, kappa=0.5)
    algorithm.start(narrow, seed=1)
    drive(algorithm, evaluator(narrow, values), epochs=4 * 14)
    bandits = [trial for trial in algorithm.trials if trial.operation == "bandit"]
    late = [abs(np.log10(float(trial.config["lr"])) + 2) for trial in bandits if trial.start_epoch > 5]
    assert len(late) > 5
    assert np.median(late) < 0.5


def test_as_the_design_of_another_algorithm_its_checkpoints_are_kept() -> None:
    toy = toy_problem(2)
    algorithm = BayesianOptimization(design=PBT(population=4), n_init=4)
    algorithm.start(toy, seed=0)
    events = drive(algorithm, evaluator(toy), epochs=2 * 27)
    taken = [event for event in events if isinstance(event, Proposal) and event.inherits]
    assert taken
    assert any(algorithm.may_fork(trial, epoch) for trial in algorithm.trials for epoch in (3, 6, 9, 12, 15))


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"population": 1}, "'population' must be a whole number of at least 2"),
        ({"population": 3}, "'population' is 3, of which a 'share' of 0.25 is nobody"),
        ({"share": 0.6}, r"'share' must be a number in \(0, 0.5\]"),
        ({"interval": 0}, "'interval' must be a whole number of at least 1"),
        ({"explore": "perturb"}, r"'explore' must be an Exploration such as Perturb\(\)"),
        ({"hyperparameters": "lr"}, r"'hyperparameters' must be a list of names such as \['lr'"),
        ({"hyperparameters": []}, "'hyperparameters' must be a list of names"),
    ],
)
def test_arguments_that_cannot_work_are_refused(options: dict[str, Any], match: str) -> None:
    with pytest.raises(InvalidArgumentError, match=match):
        PBT(**options)


@pytest.mark.parametrize("factors", [(), (1.0, 0.8), (-1.0,), 0.8, ("a",)])
def test_factors_that_change_nothing_are_refused(factors: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="'factors' must be positive numbers other than 1"):
        Perturb(factors=factors)


def test_the_epochs_of_comparison() -> None:
    assert interval_epochs(1, 9, None) == tuple(range(1, 10))
    assert interval_epochs(3, 9, 2) == (4, 6, 8, 9)
    assert interval_epochs(1, 4, 10) == (4,)
