"""What a module, callbacks and optimisers keep in attributes beside numbers: containers, arrays, flags, generators.

A list of the latest losses, the weights of a moving average or a generator of random numbers with a state of its own
begin anew where a training goes on from a checkpoint of Lightning's.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator
from typing import Any

import lightning.pytorch as pl
import numpy as np
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor, nn
from typing_extensions import override

from lightning_primo.errors import CheckpointWarning
from lightning_primo.training.carried_state.late_state import LateState
from lightning_primo.training.carried_state.values.holders import Holder, holders_of
from lightning_primo.training.carried_state.values.plain_values import Encoder, has_storage, mentions
from lightning_primo.training.carried_state.values.values_by_place import Saved, Start, ValuesByPlace

_OWN = __name__.partition(".")[0]


class CarriedValues(LateState):
    """Keeps in checkpoints what training has changed in the attributes of a module, of callbacks and of optimisers.

    These are flags, texts, containers of plain values and tensors, arrays, tensors that are no buffers, and generators
    of random numbers; of objects that a module holds, and of callbacks and optimisers, numbers too. A callback that
    has a ``state_dict`` of its own is left alone, as are those of Lightning; of one that inherits it, what subclasses
    add is kept. All are put back where the training that goes on begins with the same value, as numbers are
    (`CarriedNumbers`); another trial does not get the names of files in the trial's directory. Of what cannot be kept,
    a CheckpointWarning tells where a training goes on.
    """

    def __init__(self) -> None:
        super().__init__()
        self._values = ValuesByPlace(self._is_left_out)
        self._parts: set[int] = set()
        self._sanity_check: list[dict[tuple[str, str], Start]] = []
        self._trainer: pl.Trainer | None = None

    @property
    @override
    def state_key(self) -> str:
        return "lightning_primo.values"

    @override
    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        super().on_fit_start(trainer, pl_module)
        self._trainer, self._sanity_check = trainer, []

    @override
    def on_sanity_check_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._note_sanity_check(pl_module)

    @override
    def on_sanity_check_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._note_sanity_check(pl_module)

    @override
    def begin(self, pl_module: pl.LightningModule) -> None:
        self._values.begin(self._holders(pl_module), _encoder(pl_module))
        if len(self._sanity_check) == 2:
            self._values.forget(*self._sanity_check)

    @override
    def state(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> dict[str, Any]:
        saved, lost = self._values.changed(self._holders(pl_module), _encoder(pl_module))
        directory = trainer.default_root_dir if self._trainer else ""
        return {"values": saved, "lost": lost, "directory": directory} if saved or lost else {}

    @override
    def names(self, state: dict[str, Any]) -> Iterable[str]:
        return (f"{path}.{key}".lstrip(".") for path, entries in state["values"].items() for key in entries)

    @override
    def put_back(self, pl_module: pl.LightningModule, state: dict[str, Any]) -> None:
        self._values.put_back(self._holders(pl_module), self._without_files(state), _encoder(pl_module))
        if state["lost"]:
            _warn_of_lost(type(pl_module).__name__, ", ".join(map(repr, state["lost"])))

    def _holders(self, module: pl.LightningModule) -> Iterable[Holder]:
        self._parts = set(map(id, module.modules()))
        return holders_of({"": module}) if self._trainer is None else holders_in_training(module, self._trainer)

    def _without_files(self, state: dict[str, Any]) -> Saved:
        """The values of a state, where another trial takes it over without the names of files that are not its own."""
        saved: Saved = state["values"]
        directory: str = state["directory"]
        if not directory or (self._trainer and self._trainer.default_root_dir == directory):
            return saved
        return {
            path: {key: entry for key, entry in entries.items() if not mentions(entry["now"], directory)}
            for path, entries in saved.items()
        }

    def _is_left_out(self, holder: Holder, key: str, value: Any) -> bool:
        """Whether a value is one of `CarriedNumbers`, or computed from parameters, as a weight that has a mask."""
        part = holder.value
        if not isinstance(part, nn.Module):
            return False
        if isinstance(value, Tensor):
            is_computed = value.grad_fn is not None or any(other.startswith(f"{key}_") for other in part._parameters)
            return is_computed or (value.numel() == 1 and id(part) in self._parts)
        is_number = isinstance(value, (int, float, np.generic)) and not isinstance(value, bool)
        return is_number and id(part) in self._parts

    def _note_sanity_check(self, module: pl.LightningModule) -> None:
        values = ValuesByPlace(self._is_left_out)
        values.begin(self._holders(module), _encoder(module))
        self._sanity_check.append(values.start)


def holders_in_training(
    module: pl.LightningModule, trainer: pl.Trainer, *, stateful: dict[str, Any] | None = None
) -> Iterator[Holder]:
    """The objects of a training whose attributes no checkpoint of Lightning's holds, see `holders_of`.

    Args:
        module: That is trained.
        trainer: With its callbacks and optimisers.
        stateful: Gets what has a state of its own which Lightning does not know of.
    """
    callbacks = trainer.callbacks  # type: ignore[attr-defined]
    roots: dict[str, Any] = {"": module}
    roots |= {f"callback {i}": other for i, other in enumerate(filter(_is_kept_by_nobody, callbacks))}
    roots |= {f"optimizer {i}": other for i, other in enumerate(trainer.optimizers)}
    schedulers = (config.scheduler for config in trainer.lr_scheduler_configs)
    networks = [part for callback in callbacks if isinstance(callback, nn.Module) for part in callback.modules()]
    return holders_of(
        roots,
        seen=[callback for callback in callbacks if not _is_kept_by_nobody(callback)],
        kept=(*module.modules(), *trainer.optimizers, *schedulers, *callbacks, *networks),
        stateful=stateful,
    )


def _encoder(module: pl.LightningModule) -> Encoder:
    tensors = filter(has_storage, (*module.parameters(), *module.buffers()))
    return Encoder(module.device, {tensor.untyped_storage().data_ptr() for tensor in tensors})


def has_own_state(callback: Callback) -> bool:
    """Whether a callback is a user's and has a ``state_dict`` of its own."""
    return not is_of_library(type(callback)) and type(callback).state_dict is not Callback.state_dict


def _is_kept_by_nobody(callback: Callback) -> bool:
    return not is_of_library(type(callback)) and "state_dict" not in vars(type(callback))


def is_of_library(kind: type) -> bool:
    """Whether a class of callbacks is Lightning's or ours."""
    return kind.__module__.partition(".")[0] in (_OWN, "lightning", "pytorch_lightning")


@functools.cache
def _warn_of_lost(module: str, names: str) -> None:
    rank_zero_warn(
        f"{module} goes on with a training from a checkpoint that does not hold what the training has changed in "
        f"{names}: values that are too large, hold objects, or may tell of an object that was made in the course of "
        "the training. They begin anew with each promotion; keep them in buffers, or write what is needed in "
        "on_save_checkpoint and read it in on_load_checkpoint",
        category=CheckpointWarning,
    )
