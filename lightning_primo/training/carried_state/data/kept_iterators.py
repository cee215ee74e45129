"""Iterators that are kept from epoch to epoch, whose place in the data no checkpoint can hold.

A stream that is made once, of which each epoch takes the next batches, is read from its start where a training goes on:
one of the train data, or one that a module reads besides them, such as images of another data set.
"""

from __future__ import annotations

import functools
import inspect
import io
import types
from collections.abc import Iterable, Iterator
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.utilities import rank_zero_warn
from lightning.pytorch.utilities.combined_loader import CombinedLoader
from torch.utils.data.dataloader import _BaseDataLoaderIter
from typing_extensions import override

from lightning_primo.errors import CheckpointWarning
from lightning_primo.training.carried_state.carried_values import holders_in_training
from lightning_primo.training.carried_state.late_state import LateState
from lightning_primo.training.carried_state.values.holders import holders_of


class KeptIterators(LateState):
    """Tells of iterators that were there when an epoch began and still are where a checkpoint is written.

    They are of train loaders, their data sets, the data module, the module or callbacks. Those that are made for each
    epoch are others by then. A CheckpointWarning tells of the ones that are kept where the training goes on.
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
        self._found = dict(_iterators(pl_module))

    @override
    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self._begun:  # those that the epoch before has made are kept by now
            self._tried(functools.partial(self.begin, pl_module), pl_module)
        super().on_train_epoch_start(trainer, pl_module)

    @override
    def state(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> dict[str, Any]:
        kept = [name for name, iterator in _iterators(pl_module) if self._found.get(name) is iterator]
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


def _iterators(module: pl.LightningModule) -> Iterator[tuple[str, Iterator[Any]]]:
    """Those in attributes of train loaders, what they load, the module, callbacks and the data module, by name."""
    trainer = module.trainer
    roots: dict[str, Any] = {}
    loaders: Any = trainer.fit_loop._combined_loader
    if isinstance(loaders, CombinedLoader):
        roots |= {f"train data {i}": loader for i, loader in enumerate(loaders.flattened)}
    yield from ((name, root) for name, root in roots.items() if _is_read_once(root))
    for holder in holders_of(roots, data=True):
        for key, value in holder.attributes():
            if _is_read_once(value):
                yield f"{holder.path}.{key}", value
    data: Any = trainer.datamodule  # type: ignore[attr-defined]
    for holder in (*holders_in_training(module, trainer), *holders_of({"data module": data})):
        for key, value in holder.attributes():
            if _is_read_once(value) and _is_at_a_place(value):
                yield f"{holder.path}.{key}".lstrip("."), value


def _is_read_once(value: Any) -> bool:
    return isinstance(value, Iterator) and not isinstance(value, io.IOBase)


def _is_at_a_place(value: Any) -> bool:
    """Whether an iterator is in the midst of what it gives, and has no attributes of its own that would be kept.

    One that is used up at once, as the parameters that an optimizer was given, is not.
    """
    if isinstance(value, types.GeneratorType):
        return inspect.getgeneratorstate(value) == inspect.GEN_SUSPENDED
    if isinstance(value, CombinedLoader):
        return value._iterator is not None
    if isinstance(value, (filter, map)):  # of which nobody can tell
        return False
    return isinstance(value, _BaseDataLoaderIter) or not hasattr(value, "__dict__")


@functools.cache
def _warn_of_iterators(module: str, names: str) -> None:
    rank_zero_warn(
        f"{module} goes on with a training whose epochs have read on in {names}: how far is in no checkpoint, and it "
        "is read from its start again. Make the iterator in __iter__ of the data set, one of a module or callback in "
        "on_train_epoch_start, anew for each epoch, or count in an attribute what was read, and skip that",
        category=CheckpointWarning,
    )
