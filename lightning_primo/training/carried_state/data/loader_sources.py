"""What a module's attributes were where its loaders were made, and data sets that a training has made anew.

A module that makes its loaders from an attribute which training changes, such as the level of a curriculum, would make
them from its first value where a training goes on: attributes are put back behind the hooks that begin it.
"""

from __future__ import annotations

import functools
import itertools
import weakref
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler
from typing_extensions import override

from lightning_primo.errors import CheckpointWarning
from lightning_primo.training.carried_state.data.loader_state import LoaderState
from lightning_primo.training.carried_state.values.holders import MOST_ENTRIES, Holder, holders_of
from lightning_primo.training.carried_state.values.plain_values import Encoder
from lightning_primo.training.carried_state.values.values_by_place import Place, Saved, ValuesByPlace

_MOST_NUMBERS, _MOST_ENTRIES = 1 << 16, 1000  # what is larger, or tensors in a container, are data


class LoaderSources(LoaderState):
    """Keeps in checkpoints what a module's attributes were where loaders were made, if training has changed them.

    They are lent to the module while its loaders, or those of a data module that asks the module, are made again:
    `CarriedNumbers` and `CarriedValues` put them back later, and for good. What making a loader changes stays changed.

    Data sets, samplers and loaders that the module or the data module has come to hold in the course of the training,
    elsewhere than where loaders are made, are in no checkpoint; a CheckpointWarning tells of them where it goes on.
    """

    def __init__(self) -> None:
        super().__init__()
        self._values = ValuesByPlace(_is_computed)
        self._made_with: dict[str, Saved] = {}
        self._data: dict[str, tuple[weakref.ref[Any], ...]] = {}
        self._lost: set[str] = set()
        self._changed_since: set[Place] = set()  # the checkpoint, by making loaders
        self._saved: dict[str, Any] = {}
        self._is_seen = False

    @property
    @override
    def state_key(self) -> str:
        return "lightning_primo.loader_sources"

    @override
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict(state_dict)
        self._saved = dict(state_dict) if "made_with" in state_dict else {}  # not of several processes

    @override
    def begin(self, pl_module: pl.LightningModule) -> None:
        self._data = _data_sets(pl_module)

    @override
    def state(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> dict[str, Any]:
        self._lost |= self._made_anew(pl_module)
        # Loaders that are made once are made as they were.
        is_remade = bool(trainer.reload_dataloaders_every_n_epochs)  # type: ignore[attr-defined]
        now = self._changed(pl_module) if is_remade else {}
        if not now and not self._lost and not any(self._made_with.values()):
            return {}
        return {"now": now, "made_with": dict(self._made_with), "lost": sorted(self._lost)}

    @override
    def names(self, state: dict[str, Any]) -> Iterable[str]:
        for saved in (state["now"], *state["made_with"].values()):
            yield from (f"{path}.{key}".lstrip(".") for path, entries in saved.items() for key in entries)
        yield from state["lost"]

    @override
    def put_back(self, pl_module: pl.LightningModule, state: dict[str, Any]) -> None:
        self._lost |= set(state["lost"])
        if self._lost:
            _warn_of_data(type(pl_module).__name__, ", ".join(map(repr, sorted(self._lost))))

    def _request(
        self, trainer: pl.Trainer, kind: str, request: Callable[[], Any], made_in: Callable[[pl.Trainer, int], int]
    ) -> Any:
        module = trainer.lightning_module
        if not self._is_seen:
            self._is_seen = True
            self._tried(lambda: self._values.begin(_holders(module), _encoder()), module)
        self._lost |= self._tried(lambda: self._made_anew(module), module) or set()
        saved = self._saved if trainer.world_size == 1 and not self._failed else {}
        epoch = max(trainer.current_epoch, self._resumed_epoch)
        is_first = kind not in self._made_with or not self._begun
        if saved and is_first and (self._is_inside or made_in(trainer, epoch) < epoch):
            lent = saved["made_with"].get(kind, {})
        elif saved and not self._begun:
            lent = _without(saved["now"], self._changed_since)
        else:
            lent = {}
        with self._values.lent(list(_holders(module)) if lent else [], lent, _encoder) as changed:
            self._made_with[kind] = self._tried(lambda: self._changed(module), module) or {}
            loaders = request()
        self._changed_since |= changed
        if self._begun:
            self._data = self._tried(lambda: _data_sets(module), module) or {}
        return loaders

    def _changed(self, module: pl.LightningModule) -> Saved:
        return self._values.changed(_holders(module), _encoder())[0]

    def _made_anew(self, module: pl.LightningModule) -> set[str]:
        """The names of data that are others than where loaders were made last."""
        if not self._begun:
            return set()
        return {
            name
            for name, data in _data_sets(module).items()
            if [one() for one in data] != [one() for one in self._data.get(name, ())]
        }


def _holders(module: pl.LightningModule) -> Iterator[Holder]:
    return holders_of({"": module})


def _data_sets(module: pl.LightningModule) -> dict[str, tuple[weakref.ref[Any], ...]]:
    """The data sets, samplers and loaders in attributes of a module, its parts and the data module, by name."""
    found = {}
    data = module.trainer.datamodule  # type: ignore[attr-defined]
    for holder in holders_of({"": module, **({} if data is None else {"data module": data})}):
        for key, value in holder.attributes():
            is_container = isinstance(value, (list, tuple, dict))
            entries = (value.values() if isinstance(value, dict) else value) if is_container else (value,)
            held = [one for one in itertools.islice(entries, MOST_ENTRIES) if isinstance(one, _DATA)]
            if held:
                found[f"{holder.path}.{key}".lstrip(".")] = tuple(weakref.ref(one) for one in held)
    return found


_DATA = (Dataset, Sampler, DataLoader)


def _without(saved: Saved, places: set[Place]) -> Saved:
    return {
        path: {key: entry for key, entry in entries.items() if (path, key) not in places}
        for path, entries in saved.items()
    }


def _is_computed(holder: Holder, key: str, value: Any) -> bool:
    return isinstance(value, Tensor) and value.grad_fn is not None


def _encoder() -> Encoder:
    return Encoder(torch.device("cpu"), most_numbers=_MOST_NUMBERS, most_entries=_MOST_ENTRIES, nested=False)


@functools.cache
def _warn_of_data(module: str, names: str) -> None:
    rank_zero_warn(
        f"{module} goes on with a training which has made its data anew: no checkpoint holds the new data sets in "
        f"{names}, and it goes on with those that setup() makes, or without. Make them where loaders are made, in "
        "train_dataloader() with reload_dataloaders_every_n_epochs=1, drawn from the global generators, which a search "
        "seeds for each epoch, or from trainer.current_epoch",
        category=CheckpointWarning,
    )
