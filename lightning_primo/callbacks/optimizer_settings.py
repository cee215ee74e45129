"""What the optimisers and schedules of a training are configured with, and how that changes while it goes on.

The settings are what an optimiser has besides its state (learning rate, momentum, weight decay, ...), and the state of
a schedule before its first step. A training that has gone on for a while has other values, as schedules have moved
them. When a configuration is replaced by another one, a value that both configure alike stays as it is now; any other
one becomes the new one, moved as far as the old one was: ``new * now / old``.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch

from lightning_primo.errors import TakeOverError

Settings = dict[str, list[dict[str, Any]]]
"""``{"optimizers": [{"class", "groups", "sizes"}, ...], "schedulers": [{"class", "state"}, ...]}``, plain values."""

_INITIAL = "initial_"  # where schedules keep what a group's value was configured with


def settings_of(optimizers: Sequence[Any], schedulers: Sequence[Any]) -> Settings:
    """A copy of the present settings.

    Args:
        optimizers: Of torch.
        schedulers: Of torch, or like them.
    """
    return {
        "optimizers": [
            {
                "class": type(optimizer).__qualname__,
                "groups": [copy.deepcopy(_values(group)) for group in optimizer.param_groups],
                "sizes": [len(group["params"]) for group in optimizer.param_groups],
            }
            for optimizer in optimizers
        ],
        "schedulers": [
            {"class": type(scheduler).__qualname__, "state": copy.deepcopy(dict(scheduler.state_dict()))}
            for scheduler in schedulers
        ],
    }


def settings_of_trainer(trainer: pl.Trainer) -> Settings:
    """The present settings of what a Trainer trains with."""
    return settings_of(trainer.optimizers, [config.scheduler for config in trainer.lr_scheduler_configs])


def same(one: Any, other: Any) -> bool:
    """Whether two nested values are equal, tensors and arrays to the bit."""
    if isinstance(one, torch.Tensor) or isinstance(other, torch.Tensor):
        both = isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor)
        return both and one.shape == other.shape and bool(torch.equal(one.cpu(), other.cpu()))
    if isinstance(one, np.ndarray) or isinstance(other, np.ndarray):
        return bool(np.array_equal(one, other))
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, (list, tuple)) and isinstance(other, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


def require_alike(old: Settings, new: Settings) -> None:
    """Raise unless the state that goes with `old` means something with `new`.

    Raises:
        TakeOverError: If an optimiser or a schedule is of another class, or has other groups of parameters.
    """
    for kind in ("optimizers", "schedulers"):
        before, after = ([entry["class"] for entry in settings[kind]] for settings in (old, new))
        if before != after:
            raise TakeOverError(
                f"the training that is gone on with has the {kind} {_listed(before)}, but they are configured as "
                f"{_listed(after)} now, to which that state means nothing"
            )
    for i, (then, now) in enumerate(zip(old["optimizers"], new["optimizers"], strict=True)):
        if then["sizes"] != now["sizes"]:
            raise TakeOverError(
                f"optimizer {i} of the training that is gone on with has groups of {then['sizes']} parameters, but "
                f"is configured with {now['sizes']} now"
            )


def reconfigure(optimizers: Sequence[Any], schedulers: Sequence[Any], old: Settings, new: Settings) -> None:
    """Change what differs between two configurations in the midst of a training, in place.

    Args:
        optimizers: Of the training, which was configured with `old`.
        schedulers: Its schedules.
        old: With which it was configured.
        new: With which it is to go on; alike, see `require_alike`.
    """
    for optimizer, before, after in zip(optimizers, old["optimizers"], new["optimizers"], strict=True):
        for group, *settings in zip(optimizer.param_groups, before["groups"], after["groups"], strict=True):
            group.update(dict(_moved_group(_values(group), *settings)))
    for scheduler, before, after in zip(schedulers, old["schedulers"], new["schedulers"], strict=True):
        if not same(before["state"], after["state"]):
            scheduler.load_state_dict(moved(dict(scheduler.state_dict()), before["state"], after["state"]))


def moved(now: Any, old: Any, new: Any) -> Any:
    """What becomes of a value `now`, configured as `old` and moved since, when the configuration says `new`.

    >>> moved(0.05, 0.1, 0.1), moved(0.05, 0.1, 0.2), moved(0.0, 0.0, 0.9), moved(("sgd", 3), ("sgd", 3), ("sgd", 5))
    (0.05, 0.1, 0.9, ('sgd', 5))
    """
    if same(old, new):
        return now
    if same(now, old):
        return copy.deepcopy(new)
    if all(isinstance(value, Mapping) for value in (now, old, new)):
        return {
            key: moved(value, old[key], new[key]) if key in old and key in new else value for key, value in now.items()
        }
    sequences = all(isinstance(value, (list, tuple)) for value in (now, old, new))
    if sequences and len(now) == len(old) == len(new):
        return type(now)(map(moved, now, old, new))
    if not all(map(_is_number, (now, old, new))) or old == 0:
        return copy.deepcopy(new)
    value = new * (now / old)
    return round(value) if all(isinstance(number, int) for number in (now, old, new)) else value


def _moved_group(now: Mapping[str, Any], old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """The values of a group that change, by name.

    Where a schedule keeps what it began with (``initial_lr``), it is that which the configuration says, and the value
    beside it is moved from there: it may have begun with a warm-up from zero.
    """
    for name in now.keys() & old.keys() & new.keys():
        begun = f"{_INITIAL}{name}"
        if begun not in now or begun not in old or begun not in new:
            yield name, moved(now[name], old[name], new[name])
        elif not same(old[begun], new[begun]):
            yield name, moved(now[name], old[begun], new[begun])


def _values(group: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in group.items() if name not in ("params", "param_names")}


def _is_number(value: Any) -> bool:
    if isinstance(value, torch.Tensor):
        return value.ndim == 0
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _listed(names: Sequence[str]) -> str:
    return f"[{', '.join(names)}]" if names else "(none)"
