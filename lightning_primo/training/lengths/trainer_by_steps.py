"""A Trainer that counts in optimiser steps, and says how many epochs these come to.

Schedules are often made for ``trainer.max_epochs``, which Lightning leaves at -1 where steps say how long a training
is. What asks for it here gets the epochs that the steps come to, and so the schedule of
``Trainer(max_epochs=..., max_steps=...)``; where nobody knows them, it is an error that says what to ask for instead.
"""

from __future__ import annotations

import itertools
import math
import sys
from collections.abc import Mapping

import lightning.pytorch as pl
from lightning.pytorch.callbacks import GradientAccumulationScheduler
from lightning.pytorch.trainer.states import TrainerFn
from typing_extensions import override

from lightning_primo.errors import InvalidArgumentError
from lightning_primo.training.own_checkpoint import TrialTrainer

_LIGHTNING = ("lightning", "pytorch_lightning")
_CAN_LOAD = ("configure_optimizers", "on_fit_start")  # before the train data are there, and not too early for them


class TrainerBySteps(TrialTrainer):
    """A Trainer with ``max_steps`` and without a limit on epochs, whose `max_epochs` is what the steps come to.

    Lightning's own code sees the -1 that its loop goes by.
    """

    @property
    @override
    def max_epochs(self) -> int | None:
        """The epochs in which ``max_steps`` are made, the last one begun.

        Raises:
            InvalidArgumentError: Where that depends on how the training goes, or nobody knows it yet.
        """
        of_the_loop: int | None = self.fit_loop.max_epochs
        reader = str(sys._getframe(1).f_globals.get("__name__", ""))
        if reader.partition(".")[0] in _LIGHTNING or of_the_loop != -1 or self.state.fn != TrainerFn.FITTING:
            return of_the_loop
        return self._epochs()

    def _epochs(self) -> int:
        module = self.lightning_module
        if not module.automatic_optimization:
            raise _unknown("how many steps a batch makes under manual optimisation depends on the module", self)
        if self.fit_loop._combined_loader is None:
            if module._current_fx_name not in _CAN_LOAD:
                raise _unknown(f"the train data are not there yet in {module._current_fx_name or 'setup'!r}", self)
            self._load()
        n_batches = self.num_training_batches
        if math.isinf(n_batches) or n_batches == 0:
            raise _unknown("the train data have no length", self)
        callbacks = self.callbacks  # type: ignore[attr-defined]
        schedules = [other.scheduling for other in callbacks if isinstance(other, GradientAccumulationScheduler)]
        accumulated = schedules[0] if schedules else {0: self.accumulate_grad_batches}
        return epochs_of_steps(self.max_steps, int(n_batches), accumulated)

    def _load(self) -> None:
        """Have the train loader made, as Lightning does where it estimates steps."""
        loop = self.fit_loop
        loop.setup_data()
        combined = loop._combined_loader
        if combined is None or not any(hasattr(loader, "load_state_dict") for loader in combined.flattened):
            return
        # It would go on from the start: its state comes with the loops', after the optimizers, to a new loader alone.
        if loop._data_fetcher is not None:
            loop._data_fetcher.teardown()
            loop._data_fetcher = None
        loop._combined_loader = None


def epochs_of_steps(steps: int, n_batches: int, accumulated: Mapping[int, int]) -> int:
    """The epochs in which so many optimiser steps are made, the last one begun.

    Args:
        steps: Optimiser steps.
        n_batches: Of an epoch. Those that are left at its end make a step too.
        accumulated: Batches to a step, by the epoch, counted from 0, from which on it holds; 0 is among them.

    >>> epochs_of_steps(20, 3, {0: 1}), epochs_of_steps(21, 3, {0: 1}), epochs_of_steps(4, 3, {0: 1, 1: 3})
    (7, 7, 2)
    """
    made, begins = 0, sorted(accumulated)
    for first, following in itertools.pairwise(begins):
        until_then = math.ceil(n_batches / accumulated[first]) * (following - first)
        if made + until_then >= steps:
            break
        made += until_then
    else:
        first = begins[-1]
    return first + math.ceil((steps - made) / math.ceil(n_batches / accumulated[first]))


def _unknown(why: str, trainer: pl.Trainer) -> InvalidArgumentError:
    return InvalidArgumentError(
        f"{type(trainer.lightning_module).__name__} asks for 'trainer.max_epochs', but the training is one by steps, "
        f"and {why}: make schedules for 'trainer.max_steps' ({trainer.max_steps:,}) or "
        '\'trainer.estimated_stepping_batches\', in configure_optimizers and with "interval": "step", or count '
        "trainings in epochs"
    )
