"""State in checkpoints that is put back behind the hooks that begin a training.

Many modules begin anew in ``on_train_start`` what a training that goes on must not lose.
"""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from typing import Any, ClassVar, TypeVar

import lightning.pytorch as pl
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.utilities import rank_zero_warn
from typing_extensions import override

from lightning_primo.checks import printable_lines
from lightning_primo.errors import CheckpointWarning, first_line

R = TypeVar("R")

_LEFT_OUT = ".left_out"  # in the place of a state: what it would have held; no name of a part of a module begins so


class LateState(Callback, ABC):
    """Keeps something of a module in checkpoints, and puts it back at the first epoch or batch that follows.

    Of a training in several processes nothing is kept: only the first one's would be written, and all would get it.
    Where such a training goes on, a CheckpointWarning says once what begins anew.

    A subclass names its entry in `state_key`, and implements `state`, `names` and `put_back`. Where `of_each_process`
    is False its state is the same in all processes, and kept of several too. Whatever one of them raises, on objects of
    users that are like none that was thought of, ends no training: nothing more is kept then, and a CheckpointWarning
    says what begins anew.
    """

    of_each_process: ClassVar[bool] = True

    def __init__(self) -> None:
        self._pending: dict[str, Any] = {}
        self._begun = self._failed = False

    def begin(self, pl_module: pl.LightningModule) -> None:
        """Look at the module where its training begins, before something is put back."""

    @abstractmethod
    def state(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> dict[str, Any]:
        """What a checkpoint is to hold; nothing is written where it is empty."""

    @abstractmethod
    def names(self, state: dict[str, Any]) -> Iterable[str]:
        """What a state that is not empty holds, as users call it."""

    @abstractmethod
    def put_back(self, pl_module: pl.LightningModule, state: dict[str, Any]) -> None:
        """Put back what a checkpoint held, which is not empty."""

    @override
    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        state = self._pending
        if self._begun:
            state = self._tried(functools.partial(self.state, trainer, pl_module), pl_module) or {}
        if state and self._is_apart(trainer):
            state = {_LEFT_OUT: self._left_out(trainer, state)}
        if state:
            checkpoint.setdefault("callbacks", {})[self.state_key] = state

    @override
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._pending = dict(state_dict)

    @override
    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._begun = False

    @override
    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._begin(trainer, pl_module)

    @override
    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        self._begin(trainer, pl_module)  # of a training that goes on inside an epoch

    @override
    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._begin(trainer, pl_module)  # of one that goes on behind the last batch of an epoch

    def _begin(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self._begun:
            return
        self._begun = True
        self._tried(functools.partial(self.begin, pl_module), pl_module)
        pending, self._pending = self._pending, {}
        lost = self._left_out(trainer, pending)
        if lost:
            _warn_of_processes(type(pl_module).__name__, ", ".join(map(repr, lost)))
        elif pending:
            self._tried(functools.partial(self.put_back, pl_module, pending), pl_module)

    def _tried(self, function: Callable[[], R], module: pl.LightningModule) -> R | None:
        """What a function returns; None where it raises an exception, with a warning, or where one did before."""
        if self._failed:
            return None
        try:
            return function()
        except Exception as error:
            self._failed = True
            _warn_of_failure(type(module).__name__, self.state_key, f"{type(error).__name__}: {first_line(str(error))}")
            return None

    def _left_out(self, trainer: pl.Trainer, state: dict[str, Any]) -> list[str]:
        """What of a state is in no checkpoint, or not put back, as there are several processes."""
        lost: list[str] = state.get(_LEFT_OUT, [])
        return sorted(self.names(state)) if state and not lost and self._is_apart(trainer) else lost

    def _is_apart(self, trainer: pl.Trainer) -> bool:
        """Whether there are several processes, each with a state of its own."""
        return self.of_each_process and trainer.world_size > 1


@functools.cache
def _warn_of_failure(module: str, state: str, reason: str) -> None:
    rank_zero_warn(
        f"{module} holds something of which checkpoints cannot have all that a promotion goes on with ({state}: "
        f"{printable_lines(reason)}). It may begin anew with each promotion; keep what it tells in buffers, or write "
        "it in on_save_checkpoint and read it in on_load_checkpoint",
        category=CheckpointWarning,
    )


@functools.cache
def _warn_of_processes(module: str, names: str) -> None:
    rank_zero_warn(
        f"{module} goes on with a training in several processes, of which checkpoints hold each weight, but not what "
        f"a process keeps for itself: {names}. It begins anew with each promotion; keep it in buffers that the state "
        "dict holds (not persistent=False), or leave it out of what trials are compared by",
        category=CheckpointWarning,
    )
