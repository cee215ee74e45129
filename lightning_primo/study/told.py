"""What a user tells of a proposal, as an evaluation."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from lightning_primo.checks import as_float, check_mapping, check_number, check_text, check_whole, shown
from lightning_primo.errors import InvalidArgumentError, UnknownNameError
from lightning_primo.problem import Problem
from lightning_primo.problem.objective import Kind
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
    """A success, or a divergence where a value is not finite; the arguments are those of `Study.tell`.

    Raises:
        UnknownNameError: For a name that is none of the objectives'.
        InvalidArgumentError: If an argument is none.
    """
    last = _last_epoch(proposal, epoch, finished=finished)
    losses = _losses(values, problem, proposal.config, "values")
    if curve is not None and not isinstance(curve, Mapping):
        raise InvalidArgumentError(f"'curve' must have values by epoch, got {shown(curve)}")
    by_epoch = {
        check_whole("epoch of 'curve'", at, least=proposal.start_epoch + 1, most=last): _losses(
            at_epoch, problem, proposal.config, "curve"
        )
        for at, at_epoch in (curve or {}).items()
    }
    diverged = [o.name for o, loss in zip(problem.objectives, losses, strict=True) if not math.isfinite(loss)]
    return Evaluation(
        trial_id=proposal.trial_id,
        epoch=last,
        losses=losses,
        status=Status.DIVERGED if diverged else Status.OK,
        reason=f"{diverged[0]} is not finite" if diverged else "",
        curve=by_epoch if diverged else {**by_epoch, last: losses},
        measurements=_numbers("measurements", measurements),
        deviations=_numbers("deviations", deviations),
        cost=float(last - proposal.start_epoch),
        seconds=float(check_number("seconds", seconds, "a finite number of at least 0", least=0)),
        finished=not diverged and last < problem.max_epochs and (finished or proposal.final),
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
    names = [objective.name for objective in problem.objectives]
    if not isinstance(values, Mapping):
        raise InvalidArgumentError(f"{label!r} must be the objectives' values by name, got {shown(values)}")
    if unknown := [name for name in values if name not in names]:
        raise UnknownNameError(f"objective in {label!r}", unknown[0], names)
    exact = dict(zip(names, problem.known(config), strict=True))
    losses = []
    for objective in problem.objectives:
        if objective.name not in values:
            if objective.kind is not Kind.EXACT or math.isnan(exact[objective.name]):
                raise InvalidArgumentError(f"{label!r} has no value of {objective.name!r}")
            losses.append(exact[objective.name])
            continue
        value = values[objective.name]
        number = as_float(value)
        if math.isnan(number) and not _is_nan(value):
            raise InvalidArgumentError(f"{label!r} has {objective.name!r} = {shown(value)}, which is no number")
        if not objective.has_place_for(number):
            raise InvalidArgumentError(
                f"{label!r} has {objective.name!r} = {number:g}, which has no logarithm; leave out log=True, or fail it"
            )
        losses.append(objective.loss(number))
    return tuple(losses)
