"""What data sets, samplers and data modules keep in attributes while a training runs.

A stream that counts its epochs, or a data set that augments by a generator of random numbers of its own, begins anew
where a training goes on from a checkpoint: the first epochs' data would come once more.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.utilities.combined_loader import CombinedLoader
from typing_extensions import override

from lightning_primo.callbacks.loader_epochs import validation_loaders_made_in
from lightning_primo.callbacks.reproducibility import goes_on_between_epochs
from lightning_primo.callbacks.reproducible_steps import has_positions
from lightning_primo.training.carried_state.data.loader_state import TRAIN, VALIDATION, LoaderState
from lightning_primo.training.carried_state.values.holders import Holder, holders_of
from lightning_primo.training.carried_state.values.plain_values import Encoder
from lightning_primo.training.carried_state.values.values_by_place import Saved, ValuesByPlace

_MOST_NUMBERS, _MOST_ENTRIES = 1 << 16, 1000  # what is larger, or tensors in a container, are the data themselves


class CarriedData(LoaderState):
    """Keeps in checkpoints what a training has changed in attributes of data sets, samplers and the data module.

    These are numbers, flags, texts, small containers and tensors, and generators of random numbers. They are put back
    where loaders are made, before anything is loaded: each loader is made with the data module as it was when it was
    made, and goes on with the data module as it was at the checkpoint. What workers change is in their copies, which
    are made anew for each epoch. Inside an epoch, data that are read again from its start have the state of that.
    """

    def __init__(self) -> None:
        super().__init__()
        self._module = ValuesByPlace()
        self._loaders: dict[str, ValuesByPlace] = {}
        self._roots: dict[str, dict[str, Any]] = {}
        self._made_with: dict[str, Saved] = {}
        self._epoch_start: Saved = {}
        self._unread: Saved = {}
        self._origin: Saved = {}
        self._found: dict[str, Saved] = {}
        self._saved: dict[str, Any] = {}

    @property
    @override
    def state_key(self) -> str:
        return "lightning_primo.data"

    @override
    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        if stage == "fit":
            self._tried(functools.partial(self._look_at_module, trainer), pl_module)
        super().setup(trainer, pl_module, stage)

    @override
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict(state_dict)
        self._saved = dict(state_dict) if "module" in state_dict else {}  # not of several processes

    @override
    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        # An iterator of the loaders was there, before the one that the epoch reads (`ReproducibleEpochs`).
        unread, self._unread = self._unread, {}
        if unread and goes_on_between_epochs(trainer, self._resumed_epoch):
            self._tried(lambda: ValuesByPlace().put_back(self._of_loaders(TRAIN), unread, _encoder()), pl_module)
        if self._begun:
            self._epoch_start = self._tried(lambda: self._changed(TRAIN), pl_module) or {}
        super().on_train_epoch_start(trainer, pl_module)

    @override
    def state(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> dict[str, Any]:
        loaders = {**self._saved.get("loaders", {}), **{kind: self._changed(kind) for kind in self._loaders}}
        epochs: Any = trainer.fit_loop.epoch_progress.current
        if epochs.processed < epochs.ready and TRAIN in loaders:
            again = self._epoch_start
            indexed = {path for path in loaders[TRAIN] if self._goes_on_by_index(path)}
            now = {path: entries for path, entries in loaders[TRAIN].items() if path in indexed}
            loaders[TRAIN] = {**{path: of for path, of in again.items() if path not in indexed}, **now}
        module = self._module.changed(_of_module(trainer), _encoder())[0]
        if not module and not any(loaders.values()):
            return {}
        return {"module": module, "loaders": loaders, "made_with": dict(self._made_with)}

    @override
    def names(self, state: dict[str, Any]) -> Iterable[str]:
        for saved in (state["module"], *state["loaders"].values()):
            yield from (f"{path}.{key}" for path, entries in saved.items() for key in entries)

    @override
    def put_back(self, pl_module: pl.LightningModule, state: dict[str, Any]) -> None:
        """All is put back where the loaders are made."""

    @override
    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        self._tried(functools.partial(self._leave_as_found, trainer), pl_module)

    @override
    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        self._tried(functools.partial(self._leave_as_found, trainer), pl_module)

    def _look_at_module(self, trainer: pl.Trainer) -> None:
        self._module.begin(_of_module(trainer), _encoder())
        self._origin = _snapshot(trainer)

    def _leave_as_found(self, trainer: pl.Trainer) -> None:
        """Put back what the data began with: another training may have the same objects."""
        for kind, found in self._found.items():
            ValuesByPlace().put_back(self._of_loaders(kind), found, _encoder())
        ValuesByPlace().put_back(_of_module(trainer), self._origin, _encoder())
        self._found, self._origin = {}, {}

    def _request(
        self, trainer: pl.Trainer, kind: str, request: Callable[[], Any], made_in: Callable[[pl.Trainer, int], int]
    ) -> Any:
        module = trainer.lightning_module
        saved = self._saved if trainer.world_size == 1 else {}
        if saved and not self._roots:
            self._put_back_module(trainer, self._module, saved["module"])
        if self._failed:
            return request()
        epoch = max(trainer.current_epoch, self._resumed_epoch)
        if saved and kind == VALIDATION and self._is_too_early(trainer, epoch):
            # Lightning asks for them before the epoch begins, in which the data module may change.
            loaders = self._made_as_before(trainer, request, saved["made_with"].get(kind, {}))
            trainer.fit_loop.epoch_loop.val_loop._last_val_dl_reload_epoch = made_in(trainer, epoch - 1)
            return loaders
        is_first = kind not in self._roots or not self._begun
        is_there = is_first and (self._is_inside or made_in(trainer, epoch) < epoch)
        if saved and is_there:
            self._made_with[kind] = saved["made_with"].get(kind, {})
            loaders = self._made_as_before(trainer, request, self._made_with[kind])
        else:
            changed = self._tried(lambda: self._module.changed(_of_module(trainer), _encoder()), module)
            self._made_with[kind] = changed[0] if changed else {}
            loaders = request()
        self._tried(functools.partial(self._look_at_loaders, kind, loaders, saved if is_there else {}), module)
        return loaders

    def _look_at_loaders(self, kind: str, loaders: Any, saved: dict[str, Any]) -> None:
        """Note what loaders begin with, and put back what was saved of them."""
        combined = loaders if isinstance(loaders, CombinedLoader) else CombinedLoader(loaders)
        self._roots[kind] = {f"{kind} {i}": loader for i, loader in enumerate(combined.flattened)}
        values = self._loaders[kind] = ValuesByPlace()
        values.begin(self._of_loaders(kind), _encoder())
        self._found.setdefault(kind, ValuesByPlace().changed(self._of_loaders(kind), _encoder())[0])
        if saved:
            values.put_back(self._of_loaders(kind), saved["loaders"].get(kind, {}), _encoder())
        if kind == TRAIN:
            self._epoch_start = self._changed(kind)
            if saved and not self._is_inside:
                self._unread = ValuesByPlace().changed(self._of_loaders(kind), _encoder())[0]

    def _put_back_module(self, trainer: pl.Trainer, values: ValuesByPlace, saved: Saved) -> None:
        self._tried(lambda: values.put_back(_of_module(trainer), saved, _encoder()), trainer.lightning_module)

    def _is_too_early(self, trainer: pl.Trainer, epoch: int) -> bool:
        """Whether loaders are asked for that would be made anew only where the epoch validates."""
        epochs: Any = trainer.fit_loop.epoch_progress.current
        is_due = epoch > 0 and validation_loaders_made_in(trainer, epoch) == epoch
        is_remade = bool(trainer.reload_dataloaders_every_n_epochs)  # type: ignore[attr-defined]
        return is_remade and is_due and epochs.ready == epochs.processed and bool(self._saved["module"])

    def _made_as_before(self, trainer: pl.Trainer, request: Callable[[], Any], made_with: Saved) -> Any:
        """Loaders that are made with the data module as it was then; it stays as it is."""
        present = self._tried(functools.partial(_snapshot, trainer), trainer.lightning_module) or {}
        self._put_back_module(trainer, ValuesByPlace(), self._origin)
        self._put_back_module(trainer, self._module, made_with)
        loaders = request()
        self._put_back_module(trainer, ValuesByPlace(), present)
        return loaders

    def _changed(self, kind: str) -> Saved:
        return self._loaders[kind].changed(self._of_loaders(kind), _encoder())[0]

    def _of_loaders(self, kind: str) -> list[Holder]:
        seen = [] if kind == TRAIN else [holder.value for holder in holders_of(self._roots.get(TRAIN, {}), data=True)]
        return list(holders_of(self._roots[kind], seen=seen, data=True))

    def _goes_on_by_index(self, path: str) -> bool:
        """Whether what is at a path of the train data is not read again where a training goes on inside an epoch."""
        loaders = self._roots[TRAIN]
        return len(loaders) == 1 and all(
            has_positions(loader) and path.startswith((f"{name}.dataset", f"{name}.collate_fn"))
            for name, loader in loaders.items()
        )


def _of_module(trainer: pl.Trainer) -> list[Holder]:
    module: Any = trainer.datamodule  # type: ignore[attr-defined]
    return [] if module is None else list(holders_of({"data module": module}))


def _snapshot(trainer: pl.Trainer) -> Saved:
    """All that the data module holds."""
    return ValuesByPlace().changed(_of_module(trainer), _encoder())[0]


def _encoder() -> Encoder:
    return Encoder(torch.device("cpu"), most_numbers=_MOST_NUMBERS, most_entries=_MOST_ENTRIES, nested=False)
