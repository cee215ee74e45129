"""Iterators that train data keep from epoch to epoch, whose place in the data no checkpoint can hold.

A stream that is made once, of which each epoch takes the next batches, is read from its start where a training goes on.
"""

from __future__ import annotations

import functools
import io
from collections.abc import Iterable, Iterator
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.utilities import rank_zero_warn
from lightning.pytorch.utilities.combined_loader import CombinedLoader
from typing_extensions import override

from lightning_primo.errors import CheckpointWarning
from lightning_primo.training.carried_state.values.holders import holders_of
from lightning_primo.training.carried_state.late_state import LateState


class KeptIterators(LateState):
    """Tells of iterators that train loaders, or their data sets, had when a training began and still have later.

    Those that are made for each epoch are others by then. A CheckpointWarning tells of the ones that are kept where the
    training goes on.
    """

    def __init__(self) -> None:
        super().__init__()
        self._found: dict[str, Iterator[Any]] = {}

    @property
    @override
    def state_key(self) -> str:
        return "lightning_primo.iterators"

    @override
    def begin(self, pl_module: pl.LightningModule) -> None:
        self._found = dict(_iterators(pl_module.trainer))

    @override
    def state(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> dict[str, Any]:
        kept = [name for name, iterator in _iterators(trainer) if self._found.get(name) is iterator]
        return {"kept": kept} if kept else {}

    @override
    def names(self, state: dict[str, Any]) -> Iterable[str]:
        return list(state["kept"])

    @override
    def put_back(self, pl_module: pl.LightningModule, state: dict[str, Any]) -> None:
        _warn_of_iterators(type(pl_module).__name__, ", ".join(map(repr, state["kept"])))

    @override
    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        self._found = {}


def _iterators(trainer: pl.Trainer) -> Iterator[tuple[str, Iterator[Any]]]:
    """The iterators in attributes of the train loaders and of what they load, by name."""
    loaders: Any = trainer.fit_loop._combined_loader
    if not isinstance(loaders, CombinedLoader):
        return
    roots = {f"train data {i}": loader for i, loader in enumerate(loaders.flattened)}
    yield from ((name, root) for name, root in roots.items() if _is_read_once(root))
    for holder in holders_of(roots, data=True):
        for key, value in holder.attributes():
            if _is_read_once(value):
                yield f"{holder.path}.{key}", value


def _is_read_once(value: Any) -> bool:
    return isinstance(value, Iterator) and not isinstance(value, io.IOBase)


@functools.cache
def _warn_of_iterators(module: str, names: str) -> None:
    rank_zero_warn(
        f"{module} goes on with a training whose epochs have read on in {names}: how far is in no checkpoint, and it "
        "is read from its start again. Make the iterator in __iter__ of the data set, anew for each epoch, or count in "
        "an attribute what was read, and skip that",
        category=CheckpointWarning,
    )
