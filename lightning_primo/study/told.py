"""What a user tells of a proposal, as an evaluation."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from lightning_primo.checks import as_float, check_mapping, check_number, check_text, check_whole, shown
from lightning_primo.errors import InvalidArgumentError, UnknownNameError
from lightning_primo.problem import Problem
from lightning_primo.problem.objective import Kind, Objective
from lightning_primo.problem.trial import Config, Evaluation, Losses, Proposal, Status


def told(
    proposal: Proposal,
    problem: Problem,
    values: Any,
    *,
    curve: Any,
    epoch: Any,
    finished: bool,
    deviations: Any,
    measurements: Any,
    seconds: Any,
) -> Evaluation:
    """A success, a divergence where a value is not finite, or a rejection; the arguments are those of `Study.tell`.

    Raises:
        UnknownNameError: For a name that is none of the objectives' or constraints'.
        InvalidArgumentError: If an argument is none.
    """
    last = _last_epoch(proposal, epoch, finished=finished)
    losses = _losses(values, problem, proposal.config, "values")
    bounding = _constraints(values, problem, "values")
    if curve is not None and not isinstance(curve, Mapping):
        raise InvalidArgumentError(f"'curve' must have values by epoch, got {shown(curve)}")
    by_epoch = {
        check_whole("epoch of 'curve'", at, least=proposal.start_epoch + 1, most=last): _losses(
            at_epoch, problem, proposal.config, "curve"
        )
        for at, at_epoch in (curve or {}).items()
    }
    bounding_by_epoch = {at: _constraints(at_epoch, problem, "curve") for at, at_epoch in (curve or {}).items()}
    measured = _numbers("measurements", measurements)
    if misplaced := [constraint.name for constraint in problem.constraints if constraint.name in measured]:
        raise InvalidArgumentError(f"'measurements' has the constraint {misplaced[0]!r}; tell it in 'values'")
    told_losses = zip(problem.objectives, losses, strict=True)
    diverged = [o.name for o, loss in told_losses if not math.isfinite(loss)]
    diverged += [name for name, value in bounding.items() if not math.isfinite(value)]
    if not diverged:
        bounding = _with_exact(bounding, problem, proposal.config)
        if last == problem.max_epochs or finished or proposal.final:
            _require_constraints(bounding, problem)
    rejected = None if diverged else _broken_before_training(bounding, problem)
    status = Status.DIVERGED if diverged else Status.OK if rejected is None else Status.REJECTED
    if status is Status.OK:
        by_epoch[last], bounding_by_epoch[last] = losses, bounding
    trained = [constraint.name for constraint in problem.constraints if constraint.kind is Kind.TRAINED]
    return Evaluation(
        trial_id=proposal.trial_id,
        epoch=last,
        losses=losses,
        status=status,
        reason=f"{diverged[0]} is not finite" if diverged else rejected or "",
        curve=by_epoch,
        measurements={**measured, **bounding},
        constraints={
            at: {name: known[name] for name in trained if name in known}
            for at, known in bounding_by_epoch.items()
            if not known.keys().isdisjoint(trained)
        },
        deviations=_numbers("deviations", deviations),
        cost=float(last - proposal.start_epoch),
        seconds=float(check_number("seconds", seconds, "a finite number of at least 0", least=0)),
        finished=status is Status.OK and last < problem.max_epochs and (finished or proposal.final),
    )


def failed(
    proposal: Proposal, problem: Problem, reason: Any, *, status: Any = Status.ERROR, epoch: Any = None
) -> Evaluation:
    """A failure; the arguments are those of `Study.fail`.

    Raises:
        InvalidArgumentError: If an argument is none.
    """
    if not isinstance(status, Status) or status is Status.OK:
        raise InvalidArgumentError(f"'status' must be one of a failure, such as Status.ERROR, got {shown(status)}")
    last = proposal.start_epoch if epoch is None else epoch
    check_whole("epoch", last, least=proposal.start_epoch, most=proposal.epoch)
    return Evaluation(
        trial_id=proposal.trial_id,
        epoch=last,
        losses=problem.known(proposal.config),
        status=status,
        reason=check_text("reason", reason),
        cost=float(last - proposal.start_epoch),
    )


def _last_epoch(proposal: Proposal, epoch: Any, *, finished: bool) -> int:
    if epoch is None:
        return proposal.epoch
    last = check_whole("epoch", epoch, least=proposal.start_epoch + 1, most=proposal.epoch)
    if last < proposal.epoch and not finished:
        raise InvalidArgumentError(
            f"'epoch' is {last}, but trial {proposal.trial_id} was to be trained to {proposal.epoch}; say "
            "finished=True if its training ended by itself"
        )
    return last


def _numbers(label: str, values: Any) -> dict[str, float]:
    checked = check_mapping(label, values, "names to numbers")
    for name, value in checked.items():
        check_text(label, name)
        if math.isnan(as_float(value)) and not _is_nan(value):
            raise InvalidArgumentError(f"{label!r} has {name!r} = {shown(value)}, which is no number")
    return {name: as_float(value) for name, value in checked.items()}


def _is_nan(value: object) -> bool:
    return isinstance(value, float) and math.isnan(value)


def _losses(values: Any, problem: Problem, config: Config, label: str) -> Losses:
    """The losses of what was told, in the objectives' order; NaN or infinite where a value is."""
    names = [objective.name for objective in (*problem.objectives, *problem.constraints)]
    if not isinstance(values, Mapping):
        raise InvalidArgumentError(f"{label!r} must be the objectives' values by name, got {shown(values)}")
    if unknown := [name for name in values if name not in names]:
        raise UnknownNameError(f"objective in {label!r}", unknown[0], names)
    exact = dict(zip((objective.name for objective in problem.objectives), problem.known(config), strict=True))
    losses = []
    for objective in problem.objectives:
        if objective.name in values:
            losses.append(objective.loss(_number(values, objective, label)))
        elif objective.kind is not Kind.EXACT or math.isnan(exact[objective.name]):
            raise InvalidArgumentError(f"{label!r} has no value of {objective.name!r}")
        else:
            losses.append(exact[objective.name])
    return tuple(losses)


def _constraints(values: Mapping[str, Any], problem: Problem, label: str) -> dict[str, float]:
    """The constraints that were told, by name; NaN or infinite where a value is."""
    told = (constraint for constraint in problem.constraints if constraint.name in values)
    return {constraint.name: _number(values, constraint, label) for constraint in told}


def _with_exact(bounding: Mapping[str, float], problem: Problem, config: Config) -> dict[str, float]:
    """The same with the exact constraints that were not told and can be computed."""
    missing = [c.name for c in problem.constraints if c.kind is Kind.EXACT and c.name not in bounding]
    exact = problem.exact(config) if missing else {}
    computed = {name: float(exact[name]) for name in missing if math.isfinite(exact.get(name, math.nan))}
    return {**bounding, **computed}


def _require_constraints(bounding: Mapping[str, float], problem: Problem) -> None:
    """Raise an InvalidArgumentError unless the values of a full training say whether all bounds are kept."""
    if missing := [constraint.name for constraint in problem.constraints if constraint.name not in bounding]:
        raise InvalidArgumentError(
            f"'values' has no value of the constraint {missing[0]!r}, so that nobody knows whether its bound is kept; "
            "it is needed where a training is complete"
        )


def _broken_before_training(bounding: Mapping[str, float], problem: Problem) -> str | None:
    """Which bound of a constraint that does not come of training is broken: it rejects a trial at any epoch."""
    fixed = (c for c in problem.constraints if c.kind is not Kind.TRAINED and c.name in bounding)
    return next(filter(None, (constraint.violation(bounding[constraint.name]) for constraint in fixed)), None)


def _number(values: Mapping[str, Any], objective: Objective, label: str) -> float:
    value = values[objective.name]
    number = as_float(value)
    if math.isnan(number) and not _is_nan(value):
        raise InvalidArgumentError(f"{label!r} has {objective.name!r} = {shown(value)}, which is no number")
    if not objective.has_place_for(number):
        raise InvalidArgumentError(
            f"{label!r} has {objective.name!r} = {number:g}, which has no logarithm; leave out log=True, or fail it"
        )
    return number
