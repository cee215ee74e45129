"""Iterators that are kept from epoch to epoch, whose place in the data no checkpoint can hold.

A stream that is made once, of which each epoch takes the next batches, is read from its start where a training goes on:
one of the train data, or one that a module reads besides them, such as images of another data set.
"""

from __future__ import annotations

import functools
import inspect
import io
import types
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.utilities import rank_zero_warn
from lightning.pytorch.utilities.combined_loader import CombinedLoader
from torch.utils.data.dataloader import _BaseDataLoaderIter
from typing_extensions import override

from lightning_primo.errors import CheckpointWarning
from lightning_primo.training.carried_state.carried_values import holders_in_training
from lightning_primo.training.carried_state.data.loader_state import TRAIN, LoaderState
from lightning_primo.training.carried_state.values.holders import holders_of


class KeptIterators(LoaderState):
    """Tells of iterators that were there when an epoch began and still are where a checkpoint is written.

    They are of train loaders, their data sets, the data module, the module or callbacks. Those that are made for each
    epoch are others by then; those of a training's first epoch Lightning makes before it begins, so there the ones
    count that loaders had where they were made. A CheckpointWarning tells of what is kept where the training goes on.
    """

    def __init__(self) -> None:
        super().__init__()
        self._found: dict[str, Iterator[Any]] = {}
        self._of_new_loaders: dict[str, Iterator[Any]] = {}

    @property
    @override
    def state_key(self) -> str:
        return "lightning_primo.iterators"

    @override
    def begin(self, pl_module: pl.LightningModule) -> None:
        self._found = self._of_new_loaders | dict(_of_others(pl_module))

    @override
    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self._begun:  # those that the epoch before has made are kept by now
            self._found = self._tried(lambda: dict(_iterators(pl_module)), pl_module) or {}
        super().on_train_epoch_start(trainer, pl_module)

    @override
    def _request(
        self, trainer: pl.Trainer, kind: str, request: Callable[[], Any], made_in: Callable[[pl.Trainer, int], int]
    ) -> Any:
        loaders = request()
        if kind == TRAIN:
            found = self._tried(lambda: dict(_of_loaders(_flattened(loaders))), trainer.lightning_module)
            self._of_new_loaders = found or {}
        return loaders

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
        self._found, self._of_new_loaders = {}, {}


def _iterators(module: pl.LightningModule) -> Iterator[tuple[str, Iterator[Any]]]:
    """Those in attributes of train loaders, what they load, the module, callbacks and the data module, by name."""
    loaders = module.trainer.fit_loop._combined_loader
    if loaders is not None:
        yield from _of_loaders(_flattened(loaders))
    yield from _of_others(module)


def _flattened(loaders: Any) -> dict[str, Any]:
    """Train loaders by name, whatever holds them."""
    combined = loaders if isinstance(loaders, CombinedLoader) else CombinedLoader(loaders, "min_size")
    return {f"train data {i}": loader for i, loader in enumerate(combined.flattened)}


def _of_loaders(roots: Mapping[str, Any]) -> Iterator[tuple[str, Iterator[Any]]]:
    yield from ((name, root) for name, root in roots.items() if _is_read_once(root))
    for holder in holders_of(roots, data=True):
        for key, value in holder.attributes():
            if _is_read_once(value):
                yield f"{holder.path}.{key}", value


def _of_others(module: pl.LightningModule) -> Iterator[tuple[str, Iterator[Any]]]:
    trainer = module.trainer
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
