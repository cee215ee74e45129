"""The entries of a search's log as JSON: proposals, evaluations, and in what two descriptions of a search differ."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from lightning_primo.errors import InvalidArgumentError
from lightning_primo.json_values import is_json, plain
from lightning_primo.problem.trial import Config, Evaluation, Losses, Origin, Proposal, Status


def encode_proposal(proposal: Proposal) -> str:
    """A proposal as JSON.

    Raises:
        InvalidArgumentError: If its configuration holds other values than JSON has.
    """
    fields = {
        "trial_id": proposal.trial_id,
        "config": _storable(proposal.config, f"trial {proposal.trial_id}"),
        "epoch": proposal.epoch,
        "start_epoch": proposal.start_epoch,
        "parent": proposal.parent,
        "operation": proposal.operation,
        "inherits": proposal.inherits,
        "final": proposal.final,
        "origin": proposal.origin.value,
        **({} if proposal.prior is None else {"prior": proposal.prior}),
    }
    return json.dumps(fields, allow_nan=False)


def decode_proposal(text: str | bytes) -> Proposal:
    """The inverse of `encode_proposal`.

    Raises:
        ValueError: If it is none.
    """
    fields = _fields(text)
    if not isinstance(fields["config"], dict):
        raise ValueError(f"'config' is {fields['config']!r}")
    return Proposal(
        trial_id=_whole(fields, "trial_id"),
        config=fields["config"],
        epoch=_whole(fields, "epoch"),
        start_epoch=_whole(fields, "start_epoch"),
        parent=None if fields["parent"] is None else _whole(fields, "parent"),
        operation=str(fields["operation"]),
        inherits=bool(fields["inherits"]),
        final=bool(fields["final"]),
        origin=Origin(fields["origin"]),
        prior=str(fields["prior"]) if "prior" in fields else None,
    )


def encode_addition(config: Config) -> str:
    """A configuration that is to be tried, as JSON.

    Raises:
        InvalidArgumentError: If it holds other values than JSON has.
    """
    return json.dumps(_storable(config, "the configuration that is to be tried"), allow_nan=False)


def decode_addition(text: str | bytes) -> Config:
    """The inverse of `encode_addition`.

    Raises:
        ValueError: If it is none.
    """
    return dict(_fields(text))


def _storable(config: Config, where: str) -> dict[str, Any]:
    plainly = {name: plain(value) for name, value in config.items()}
    for name, value in plainly.items():
        if not is_json(value):
            raise InvalidArgumentError(
                f"{where} has {name!r} = {value!r}, a {type(value).__name__}; a configuration must hold finite "
                "numbers, booleans and strings, None, or lists and dicts of these, or it cannot be stored"
            )
    return plainly


def encode_evaluation(evaluation: Evaluation) -> str:
    """An evaluation as JSON; numbers that are not finite become strings."""
    fields = {
        "trial_id": evaluation.trial_id,
        "epoch": evaluation.epoch,
        "losses": _encode_losses(evaluation.losses),
        "status": evaluation.status.value,
        "reason": evaluation.reason,
        "signature": evaluation.signature,
        "curve": {str(epoch): _encode_losses(losses) for epoch, losses in evaluation.curve.items()},
        "measurements": _encode_values(evaluation.measurements),
        "deviations": _encode_values(evaluation.deviations),
        "measured_on": {name: dict(place) for name, place in evaluation.measured_on.items()},
        "cost": float(evaluation.cost),
        "seconds": float(evaluation.seconds),
        "measuring": float(evaluation.measuring),
        "finished": bool(evaluation.finished),
    }
    if evaluation.constraints:  # most searches have none
        constraints = evaluation.constraints.items()
        fields["constraints"] = {str(epoch): _encode_values(values) for epoch, values in constraints}
    if evaluation.given_up:
        fields["given_up"] = True
    return json.dumps(fields, allow_nan=False)


def decode_evaluation(text: str | bytes) -> Evaluation:
    """The inverse of `encode_evaluation`.

    Raises:
        ValueError: If it is none.
    """
    fields = _fields(text)
    try:
        return Evaluation(
            trial_id=_whole(fields, "trial_id"),
            epoch=_whole(fields, "epoch"),
            losses=_decode_losses(fields["losses"]),
            status=Status(fields["status"]),
            reason=str(fields["reason"]),
            signature=str(fields["signature"]),
            curve={int(epoch): _decode_losses(losses) for epoch, losses in fields["curve"].items()},
            measurements=_decode_values(fields["measurements"]),
            constraints={int(epoch): _decode_values(values) for epoch, values in fields.get("constraints", {}).items()},
            deviations=_decode_values(fields["deviations"]),
            measured_on={name: _place(place) for name, place in fields["measured_on"].items()},
            cost=float(fields["cost"]),
            seconds=float(fields["seconds"]),
            measuring=float(fields.get("measuring", 0.0)),
            finished=bool(fields["finished"]),
            given_up=bool(fields.get("given_up", False)),
        )
    except (TypeError, AttributeError) as error:
        raise ValueError(str(error)) from error


def _place(place: Mapping[str, Any]) -> dict[str, str]:
    return {name: str(value) for name, value in place.items()}


class _Fields(dict[str, Any]):
    def __missing__(self, key: str) -> Any:
        raise ValueError(f"{key!r} is missing")


def _fields(text: str | bytes) -> _Fields:
    fields = json.loads(text)
    if not isinstance(fields, dict):
        raise ValueError(f"a {type(fields).__name__} where an object was expected")
    return _Fields(fields)


def _whole(fields: Mapping[str, Any], key: str) -> int:
    number = fields[key]
    if not isinstance(number, int) or isinstance(number, bool) or number < 0:
        raise ValueError(f"{key!r} is {number!r}")
    return number


def _encode_losses(losses: Iterable[float]) -> list[float | str]:
    return [float(loss) if math.isfinite(loss) else repr(float(loss)) for loss in losses]


def _decode_losses(losses: Iterable[float | str]) -> Losses:
    return tuple(float(loss) for loss in losses)


def _encode_values(values: Mapping[str, float]) -> dict[str, float | str]:
    return dict(zip(values, _encode_losses(values.values()), strict=True))


def _decode_values(values: Mapping[str, float | str]) -> dict[str, float]:
    return {name: float(value) for name, value in values.items()}


def differences(stored: Mapping[str, str], given: Mapping[str, str]) -> list[str]:
    """In what two descriptions differ, a line for each place.

    Args:
        stored: Text by key; where it is JSON, the line names the place in it. The order of entries counts.
        given: The same of another search. Keys that only `stored` has are left out.
    """
    lines: list[str] = []
    for key, text in given.items():
        lines += _differences(key, _parsed(stored.get(key)), _parsed(text))
    return lines


def _parsed(text: str | None) -> Any:
    if text is None or text[:1] not in ("{", "["):
        return text
    try:
        return json.loads(text)
    except ValueError:
        return text


def _differences(place: str, stored: Any, given: Any) -> Iterator[str]:
    old, new = _entries(stored), _entries(given)
    if old is None or new is None:
        if stored != given:
            yield f"{place}: stored {_shown(stored)}, given {_shown(given)}"
        return
    for key in dict.fromkeys((*old, *new)):
        if key not in new:
            yield f"{place}: only stored: {key}"
        elif key not in old:
            yield f"{place}: only given: {key}"
        else:
            yield from _differences(f"{place}: {key}", old[key], new[key])
    if old.keys() == new.keys() and list(old) != list(new):
        yield f"{place}: another order: stored {', '.join(old)}; given {', '.join(new)}"


def _entries(value: Any) -> dict[str, Any] | None:
    """A mapping as it is, a list's items by their own text; None for anything else."""
    if isinstance(value, list):
        return {json.dumps(item): None for item in value}
    return value if isinstance(value, dict) else None


def _shown(value: Any) -> str:
    return "nothing" if value is None else value if isinstance(value, str) else json.dumps(value)
