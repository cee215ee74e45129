"""Small problems with known answers, to try an algorithm on in milliseconds, without training anything."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import numpy as np
from ConfigSpace import Categorical, ConfigurationSpace, Float, InCondition, Integer

from lightning_primo.algorithms import Algorithm
from lightning_primo.problem import Problem
from lightning_primo.problem.architecture import Architecture, Layer, LayerKind
from lightning_primo.problem.objective import Kind, Objective
from lightning_primo.problem.trial import Config, Evaluation, Proposal, Status

Evaluate = Callable[[Proposal], Evaluation]
"""Carries out a proposal."""

_TRAINING = ("lr", "dropout", "momentum", "weight_decay")


def conditional_space() -> ConfigurationSpace:
    """Eight hyperparameters: floats and integers, two on a log scale, a categorical, a boolean, two conditional."""
    space = ConfigurationSpace(seed=0)
    n_layers = Integer("n_layers", (1, 3))
    widths = [Integer(f"width_{i}", (4, 256), log=True) for i in (1, 2, 3)]
    space.add(
        n_layers,
        *widths,
        Float("lr", (1e-5, 1.0), log=True),
        Float("dropout", (0.0, 0.9)),
        Categorical("activation", ["relu", "tanh", "gelu"]),
        Categorical("norm", [True, False]),
    )
    space.add(InCondition(widths[1], n_layers, [2, 3]), InCondition(widths[2], n_layers, [3]))
    return space


def network_size(config: Config) -> float:
    """Weights of the toy network: the products of neighbouring widths."""
    widths = [16, *(int(config[f"width_{i}"]) for i in (1, 2, 3) if f"width_{i}" in config), 10]
    return float(sum(a * b for a, b in pairwise(widths)))


def network_architecture(config: Config) -> Architecture:
    """A chain of linear layers, which can be made deeper after each."""
    names = [name for name in ("width_1", "width_2", "width_3") if name in config]
    units = [int(config[name]) for name in names]
    layers = (Layer(width=name, units=n, kind=LayerKind.LINEAR) for name, n in zip(names, units, strict=True))
    deeper = []
    for i in range(len(units)):
        widths = [*units[: i + 1], *units[i:]]
        grown = {f"width_{j}": n for j, n in enumerate(widths, 1)}
        deeper.append({**config, "n_layers": len(widths), **grown})
    return Architecture(
        layers=tuple(layers),
        n_parameters=int(network_size(config)),
        deeper=tuple(deeper),
        training=tuple(name for name in _TRAINING if name in config),
    )


def network_text(config: Config) -> str:
    """All of a configuration that is not about its training alone."""
    return repr(sorted((name, value) for name, value in config.items() if name not in _TRAINING))


def network_error(config: Config, epoch: int) -> float:
    """A learning curve in (0, 1): falls with the epoch and the network's size, best near lr = 1e-2 without dropout."""
    misfit = 0.08 * (math.log10(float(config["lr"])) + 2) ** 2 + 0.2 * float(config["dropout"]) ** 2
    misfit += {"relu": 0.05, "tanh": 0.1, "gelu": 0.0}[str(config["activation"])] + (0.0 if config["norm"] else 0.04)
    capacity = 0.5 / (1 + 0.6 * math.log10(network_size(config) / 100 + 1))
    return float(np.clip(1 - math.exp(-misfit - capacity) + 0.5 / (epoch + 1), 0.0, 1.0))


def limited_problem(n_objectives: int = 2) -> Problem:
    """`toy_problem` with bounds on what is trained: a fifth of the space keeps both.

    One is on the error, its first objective, one on its training time, which is a constraint alone.
    """
    problem = toy_problem(n_objectives)
    error, *others = problem.objectives
    seconds = Objective(name="seconds", log=True, at_most=6.0)
    return replace(problem, objectives=(replace(error, at_most=0.44), *others), constraints=(seconds,))


def toy_problem(n_objectives: int = 2, *, max_epochs: int = 27, at_most: float | None = None) -> Problem:
    """A network's error, size (exact) and two more costs on `conditional_space`.

    Args:
        n_objectives: 1 to 4: error; size (exact, log); negative accuracy per size (maximised); training time (log).
        max_epochs: The full budget.
        at_most: Bound on the size.
    """
    objectives = (
        Objective(name="error", reference=1.0),
        Objective(name="size", kind=Kind.EXACT, log=True, at_most=at_most, reference=None if at_most else 1e6),
        Objective(name="accuracy_per_decade", mode="max", reference=0.0),
        Objective(name="seconds", log=True, reference=1e6),
    )
    constraint = Objective(name="size", kind=Kind.EXACT, log=True, at_most=at_most)
    constraints = (constraint,) if n_objectives == 1 and at_most is not None else ()
    return Problem(
        space=conditional_space(),
        objectives=objectives[:n_objectives],
        max_epochs=max_epochs,
        constraints=constraints,
        exact=lambda config: {"size": network_size(config)},
        architecture=network_architecture,
        network=network_text,
    )


def toy_values(config: Config, epoch: int) -> dict[str, float]:
    """The values of `toy_problem`'s four objectives after `epoch` epochs."""
    error, size = network_error(config, epoch), network_size(config)
    return {
        "error": error,
        "size": size,
        "accuracy_per_decade": (1 - error) / math.log10(size),
        "seconds": 1e-4 * size * epoch,
    }


def trade_off_problem(n_objectives: int = 4, *, max_epochs: int = 27) -> Problem:
    """Objectives of which every one can be bought by every other: DTLZ2 (Deb et al. 2005) of a network's parts.

    Its front is a part of a sphere, so that of many good trials nearly all are on it: the hard case for whatever works
    on fronts. Nothing has a reference point of its own, as with metrics for which nobody knows what is too bad.

    Args:
        n_objectives: 2 to 4: one exact (``f1``), the others trained.
        max_epochs: The full budget.
    """
    space = conditional_space()
    space.add(Float("momentum", (0.0, 1.0)), Float("weight_decay", (1e-6, 1e-2), log=True))
    names = [f"f{i}" for i in range(1, n_objectives + 1)]
    return Problem(
        space=space,
        objectives=(Objective(name=names[0], kind=Kind.EXACT), *(Objective(name=name) for name in names[1:])),
        max_epochs=max_epochs,
        exact=lambda config: {"f1": trade_off_values(config, max_epochs, n_objectives)["f1"]},
        architecture=network_architecture,
        network=network_text,
    )


def trade_off_values(config: Config, epoch: int, n_objectives: int = 4) -> dict[str, float]:
    """The values of `trade_off_problem`'s objectives after `epoch` epochs."""
    positions = (
        math.log(float(config["width_1"]) / 4) / math.log(256 / 4),
        float(config["dropout"]) / 0.9,
        math.log10(float(config["lr"])) / 5 + 1,
    )
    angles = [0.5 * math.pi * position for position in positions[: n_objectives - 1]]
    distance = {"relu": 0.05, "tanh": 0.1, "gelu": 0.0}[str(config["activation"])] + (0.0 if config["norm"] else 0.04)
    distance += 0.02 * (float(config["n_layers"]) - 1) + (float(config["momentum"]) - 0.9) ** 2
    distance += 0.05 * (math.log10(float(config["weight_decay"])) + 4) ** 2
    values = {}
    for i in range(n_objectives):
        value = (1 + distance) * math.prod(map(math.cos, angles[:i]))
        if i < len(angles):
            value *= math.sin(angles[i])
        values[f"f{i + 1}"] = value * (1 + 0.5 / (epoch + 1) if i else 1)
    return values


def evaluator(
    problem: Problem,
    values: Callable[[Config, int], dict[str, float]] = toy_values,
    *,
    fails: Callable[[Config], bool] = lambda config: False,
) -> Evaluate:
    """Carries out the proposals of a problem with a plain function instead of a training.

    Args:
        problem: What is searched.
        values: The objectives' values of a configuration after an epoch.
        fails: Which configurations diverge in their first epoch.
    """

    def evaluate(proposal: Proposal) -> Evaluation:
        broken = problem.violation(proposal.config)
        if broken is not None:
            return Evaluation(
                trial_id=proposal.trial_id,
                epoch=proposal.start_epoch,
                losses=problem.known(proposal.config),
                status=Status.REJECTED,
                reason=broken,
            )
        if fails(proposal.config):
            return Evaluation(
                trial_id=proposal.trial_id,
                epoch=proposal.start_epoch + 1,
                losses=problem.known(proposal.config),
                status=Status.DIVERGED,
                reason="the loss became NaN",
                cost=1.0,
            )
        epochs = range(proposal.start_epoch + 1, proposal.epoch + 1)
        known = {epoch: values(proposal.config, epoch) for epoch in epochs}
        curve = {epoch: tuple(o.loss(at[o.name]) for o in problem.objectives) for epoch, at in known.items()}
        names = [constraint.name for constraint in problem.constraints if constraint.kind is Kind.TRAINED]
        constraints = {epoch: {name: at[name] for name in names} for epoch, at in known.items()} if names else {}
        return Evaluation(
            trial_id=proposal.trial_id,
            epoch=proposal.epoch,
            losses=curve[proposal.epoch],
            curve=curve,
            measurements=constraints.get(proposal.epoch, {}),
            constraints=constraints,
            cost=float(proposal.epochs),
            finished=proposal.final and proposal.epoch < problem.max_epochs,
        )

    return evaluate


def drive(
    algorithm: Algorithm, evaluate: Evaluate, *, epochs: float, n_pending: int = 1
) -> list[Proposal | Evaluation]:
    """Ask and tell a started algorithm until `epochs` are committed; the events, in order.

    Args:
        algorithm: Started on a problem.
        evaluate: Carries out proposals.
        epochs: When to stop asking.
        n_pending: Proposals kept pending, answered in the order in which they were asked.
    """
    events: list[Proposal | Evaluation] = []
    pending: list[Proposal] = []
    while True:
        while len(pending) < n_pending and algorithm.epochs_committed < epochs:
            proposal = algorithm.ask(epochs_left=epochs - algorithm.epochs_committed)
            if proposal is None:
                break
            pending.append(proposal)
            events.append(proposal)
        if not pending:
            return events
        evaluation = evaluate(pending.pop(0))
        algorithm.tell(evaluation)
        events.append(evaluation)
