"""Logs of searches written by hand, for the tests of what is shown of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ConfigSpace import Categorical, ConfigurationSpace, EqualsCondition, Float

from lightning_primo.problem import Problem
from lightning_primo.problem.objective import Kind, Objective
from lightning_primo.problem.trial import Evaluation, Proposal, Status
from lightning_primo.results.result import Result

ERROR = Objective(name="val_error", reference=1.0)
ACCURACY = Objective(name="accuracy", mode="max", reference=0.0)
PARAMETERS = Objective(name="parameters", kind=Kind.EXACT, log=True, at_most=1e4)
LATENCY = Objective(name="latency", kind=Kind.MEASURED)
FULL = 9


def conditional_space() -> ConfigurationSpace:
    space = ConfigurationSpace(seed=0)
    optimizer = Categorical("optimizer", ["sgd", "adam"])
    momentum = Float("momentum", (0.0, 1.0))
    space.add(Float("lr", (1e-4, 1.0), log=True), optimizer, momentum)
    space.add(EqualsCondition(momentum, optimizer, "sgd"))
    return space


def make_problem(*objectives: Objective) -> Problem:
    return Problem(space=conditional_space(), objectives=objectives, max_epochs=FULL)


class Log:
    """Appends what is asked and told, a second and an epoch of cost per trained epoch."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.events: list[tuple[Proposal | Evaluation, float]] = []
        self.seconds = 0.0
        self.epochs: dict[int, int] = {}

    def ask(self, trial_id: int, epoch: int = FULL, **fields: Any) -> Proposal:
        fields.setdefault("config", {"lr": 0.1, "optimizer": "adam"})
        start = self.epochs.get(trial_id, 0)
        proposal = Proposal(trial_id=trial_id, epoch=epoch, start_epoch=start, **fields)
        self.events.append((proposal, self.seconds))
        return proposal

    def tell(self, trial_id: int, values: Sequence[float], epoch: int = FULL, **fields: Any) -> Evaluation:
        pairs = zip(self.problem.objectives, values, strict=True)
        losses = tuple(objective.loss(value) for objective, value in pairs)
        cost = fields.pop("cost", epoch - self.epochs.get(trial_id, 0))
        self.seconds += cost
        evaluation = Evaluation(trial_id=trial_id, epoch=epoch, losses=losses, cost=cost, seconds=cost, **fields)
        if evaluation.ok:
            self.epochs[trial_id] = epoch
        self.events.append((evaluation, self.seconds))
        return evaluation

    def train(self, trial_id: int, values: Sequence[float], epoch: int = FULL, **fields: Any) -> None:
        asked = {name: fields.pop(name) for name in ("config", "parent", "operation") if name in fields}
        self.ask(trial_id, epoch, **asked)
        self.tell(trial_id, values, epoch, **fields)

    def result(self, directory: Path, build: Any = None, trainer: Mapping[str, Any] | None = None) -> Result:
        return Result(self.problem, self.events, directory=directory, build=build, trainer=trainer)


def two_objective_log() -> Log:
    """Trials 1, 2 and 4 are on the front: (0.2, 1000), (0.3, 100) and (0.9, 10), told after 18, 30 and 51 epochs."""
    log = Log(make_problem(ERROR, PARAMETERS))
    log.train(0, (0.5, 1000.0))
    log.train(1, (0.2, 1000.0), config={"lr": 0.1, "optimizer": "sgd", "momentum": 0.9})
    log.train(2, (0.6, 100.0), 3, curve={1: (0.8, 100.0), 3: (0.6, 100.0)}, measurements={"flops": 7.0})
    log.ask(3)
    log.train(2, (0.3, 100.0), 9, curve={9: (0.3, 100.0)}, measurements={"flops": 7.0, "memory": 3.0})
    reason = "loss is nan\nmore"
    log.tell(3, (float("nan"), 50.0), 3, status=Status.DIVERGED, reason=reason, cost=3, curve={1: (0.9, 50.0)})
    log.train(4, (0.9, 10.0), parent=1, operation="mutation")
    log.train(5, (float("nan"), 1e6), 0, status=Status.REJECTED, reason="too large", cost=0)
    log.train(6, (0.1, 10.0), 3)  # dominates all, but is trained partly only
    log.ask(7)
    return log
