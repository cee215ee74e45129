"""What is prepared and set up without a Trainer, to measure modules: once per process, however many jobs come to it.

A factory travels with every job, and each copy of it has the identity of the first, by which this is known again. Data
that are set up do not travel.
"""

from __future__ import annotations

from collections.abc import Callable

import lightning.pytorch as pl

Data = pl.LightningDataModule | None

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
            data.prepare_data()
            data.setup("fit")
        _latest = key, data
    return _latest[1]


def already_set_up(key: str) -> Data:
    """The data of `key`, if they are those that were set up last."""
    return None if _latest is None or _latest[0] != key else _latest[1]


def prepare_once(identity: str, module: pl.LightningModule) -> None:
    """Call the module's own `prepare_data`, unless one from the factory of this identity was asked before."""
    if identity not in _prepared:
        module.prepare_data()
        _prepared.add(identity)
