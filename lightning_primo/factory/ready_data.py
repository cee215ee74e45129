"""What is prepared and set up without a Trainer, to measure modules: once per process, however many jobs come to it.

A factory travels with every job, and each copy of it has the identity of the first, by which this is known again. Data
that are set up do not travel.
"""

from __future__ import annotations

import copy
import traceback
from collections.abc import Callable
from typing import Any

import lightning.pytorch as pl

Data = pl.LightningDataModule | None

_FILLED = (list, dict, set)
_latest: tuple[str, Data] | None = None  # one alone: data may be large
_prepared: set[str] = set()


def set_up_once(key: str, make: Callable[[], Data]) -> Data:
    """The data of `key` after `prepare_data` and ``setup("fit")``; those of the latest key are kept.

    Args:
        key: Of the data.
        make: Gives them, not set up; None where the module has its own.
    """
    global _latest
    if _latest is None or _latest[0] != key:
        _latest = None  # makes room first
        data = make()
        if data is not None:
            called_alone(data, "prepare_data")
            called_alone(data, "setup", "fit")
        _latest = key, data
    return _latest[1]


def called_alone(data: pl.LightningDataModule, method: str, *args: Any) -> Any:
    """What a method of a data module returns that belongs to no Trainer.

    One that fails where it asks for a Trainer is called again, on the attributes of before, with something in its place
    that has one process on one device, of which many ask; if it fails again, the first exception is raised.
    """
    before = {name: copy.copy(value) if type(value) in _FILLED else value for name, value in vars(data).items()}
    try:
        return getattr(data, method)(*args)
    except Exception as error:
        if data.trainer is not None or not _asks_for_trainer(error):
            raise
        vars(data).clear()
        vars(data).update(before)
        data.trainer = _OneProcess()  # type: ignore[assignment]
        try:
            return getattr(data, method)(*args)
        except Exception:
            raise error from None
        finally:
            data.trainer = None


def _asks_for_trainer(error: Exception) -> bool:
    """Whether an exception comes from code that names a Trainer."""
    frames = traceback.walk_tb(error.__traceback__)
    next(frames)  # ours
    return any("trainer" in frame.f_code.co_names for frame, _ in frames)


class _OneProcess:
    """What a Trainer says of its processes where there is one."""

    world_size = num_devices = num_nodes = 1
    global_rank = local_rank = node_rank = 0
    is_global_zero = True


def already_set_up(key: str) -> Data:
    """The data of `key`, if they are those that were set up last."""
    return None if _latest is None or _latest[0] != key else _latest[1]


def prepare_once(identity: str, module: pl.LightningModule) -> None:
    """Call the module's own `prepare_data`, unless one from the factory of this identity was asked before."""
    if identity not in _prepared:
        module.prepare_data()
        _prepared.add(identity)
