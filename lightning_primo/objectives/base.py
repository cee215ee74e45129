"""The base of the objectives: a Lightning callback that carries an `Objective` and reports its value.

A subclass of `CostCallback` says how a cost is measured before training, one of `TrainedCallback` how a value is read
after an epoch. Both also work alone in any Trainer.
"""

from __future__ import annotations

import math
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import Callback
from typing_extensions import override

from lightning_primo.errors import NonPositiveValueError
from lightning_primo.measure.inputs import Sample
from lightning_primo.objectives.example_inputs import fit_inputs
from lightning_primo.problem.objective import Objective, spread_name
from lightning_primo.problem.place import Place
from lightning_primo.runtimes.runtime import Runtime

At = Literal["last", "best"]
"""Which epoch of a training counts."""

LAST: At = "last"
BEST: At = "best"


class ObjectiveCallback(Callback, ABC):
    """An objective, as a callback that also works alone in any Trainer.

    Attributes:
        objective: Name, mode, kind, bounds.
        value: The value last read, in the user's unit; NaN before the first reading.
    """

    def __init__(self, objective: Objective) -> None:
        self.objective = objective
        self.value = math.nan

    def settings(self) -> dict[str, Any]:
        """What makes its values comparable with others, such as the device, as JSON values by name."""
        kinds = (bool, int, float, str, torch.dtype, Runtime)
        return {
            name: _plain(value)
            for name, value in sorted(vars(self).items())
            if not name.startswith("_") and name != "value" and isinstance(value, kinds)
        }

    @property
    @override
    def state_key(self) -> str:
        return self._generate_state_key(name=self.objective.name)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.objective.name!r})"


class CostCallback(ObjectiveCallback):
    """An objective known before the first training step: `Kind.EXACT` or `Kind.MEASURED`.

    Alone in a Trainer it measures the module once, when the training starts, and logs the value with every epoch under
    the objective's name. The module is on its device then and a checkpoint is restored. It is called with its
    `example_input_array`, else with the inputs of a batch from the train dataloader (see `fit_inputs`).
    With several processes rank zero measures for all.

    Args:
        objective: Name, mode, kind, bounds.
        example_inputs: What the module is called with instead: as for `measure.call`, or a function of the
            configuration (alone in a Trainer, of the module's `hparams`) that gives it.
    """

    cuts_inputs = False
    """Whether `measure` cuts its inputs to a number of samples by `first_sample`, and so takes a `Sample` as well."""

    def __init__(self, objective: Objective, *, example_inputs: Any = None) -> None:
        super().__init__(objective)
        self.example_inputs = example_inputs
        self._logs: dict[str, float] = {}

    @abstractmethod
    def measure(self, module: torch.nn.Module, inputs: Any) -> float:
        """The value of this objective for `module`, called with the inputs of a batch.

        Args:
            module: The module. For `Kind.EXACT` it may lie on the meta device and must not be computed with.
            inputs: What is passed to `module(*inputs)` if a tuple, `module(**inputs)` if a dict, else
                `module(inputs)`; of any batch size and on any device. None where the objective needs none
                (`needs_inputs`).
        """

    def value_for(self, module: torch.nn.Module, inputs: Any) -> float:
        """`measure`, with inputs that may be a `Sample`."""
        if isinstance(inputs, Sample) and not self.cuts_inputs:
            inputs = inputs.inputs
        return float(self.measure(module, inputs))

    @property
    def elsewhere(self) -> bool:
        """Whether another device measures, so that this machine need not stand still and may train meanwhile."""
        return False

    def begin(self, module: torch.nn.Module, inputs: Any) -> Callable[[threading.Event], float]:
        """Do of `measure` what needs the module, and return the rest, which may be called in another thread.

        Args:
            module: As for `measure`.
            inputs: As for `measure`; may be a `Sample`.

        Returns:
            A function that waits for the value. The event that it is given is set when nobody wants that any more.
        """
        value = self.value_for(module, inputs)
        return lambda stop: value

    def require_place_on_scale(self) -> None:
        """Raise a NonPositiveValueError if the value has no logarithm where the scale is logarithmic."""
        if not self.objective.has_place_for(self.value):
            raise NonPositiveValueError(
                f"the objective {self.objective.name!r} is {self.value:g}, but 'log' is set, and what is zero or "
                f"negative has no logarithm; give it log=False, as in {type(self).__name__}(log=False), or reject "
                "such configurations by at_least"
            )

    @property
    def needs_inputs(self) -> bool:
        """Whether `measure` calls the module."""
        return True

    @property
    def deviation(self) -> float | None:
        """Standard deviation of the last measurement, in the objective's unit; None where it is not noisy."""
        return None

    @property
    def measured_on(self) -> Place:
        """Where and how the last value was measured, as text by name; empty where it is the same everywhere."""
        return {}

    @property
    def noisy(self) -> bool:
        """Whether another measurement may come out differently, so that the front is measured again in the end."""
        return False

    def place(self) -> Place:
        """Where and how it would be measured in this process: `measured_on` without what is the module's."""
        return {}

    def measure_as_on(self, place: Place) -> None:
        """Adopt what this objective leaves open, and an earlier measurement had settled at `place`."""

    def remember_in(self, folder: Path) -> None:
        """Share what is measured of equal networks with other configurations and processes, by files in `folder`."""

    def logs(self) -> Mapping[str, float]:
        """What is logged after a measurement: the value under the objective's name, and more where there is more."""
        logs = {self.objective.name: self.value}
        return logs if self.deviation is None else {**logs, spread_name(self.objective.name): self.deviation}

    @override
    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.is_global_zero:
            inputs = fit_inputs(trainer, pl_module, self.example_inputs) if self.needs_inputs else None
            self.value = self.value_for(pl_module, inputs)
            self._logs = dict(self.logs())
        self._logs = trainer.strategy.broadcast(self._logs, src=0)
        self.value = self._logs[self.objective.name]

    @override
    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        for name, value in self._logs.items():
            log_value(trainer, pl_module, name, value)


class TrainedCallback(ObjectiveCallback):
    """An objective that is known after an epoch: `Kind.TRAINED`.

    Attributes:
        at: Which epoch of a training up to a rung counts, for all values and for the weights: the ``"last"``, or the
            ``"best"`` by this one.
        only_where_it_stops: Whether a search reads it only where a training stops, as that is costly; else it is NaN.
        reads_itself: Whether it reads itself after every epoch, and raises where there is nothing to be read; in a
            search the training's recorder does, which knows at which epochs the value must be there.
    """

    at: At = LAST
    only_where_it_stops = False
    reads_itself = True

    @abstractmethod
    def read(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> float:
        """The value after the epoch that has just ended.

        It is complete from the module's own `on_train_epoch_end` on. Lightning runs the `on_train_epoch_end` of
        ordinary callbacks before that, and that of `Checkpoint` subclasses after it: read from one of those.

        Raises:
            MetricNotLoggedError: If the value is a metric that was not logged.
        """

    def read_in_all(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> float:
        """The value that all processes agree on, called in all of them: that of rank zero."""
        self.value = float(trainer.strategy.broadcast(self.read(trainer, pl_module), src=0))
        return self.value

    def read_in_validation(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> float:
        """The value at the end of a validation, from where it is read in a training by steps.

        Raises:
            MetricNotLoggedError: If the value is a metric that this validation did not log.
        """
        return self.read_in_all(trainer, pl_module)

    def leave_out(self, seconds: float) -> None:
        """Take note that the training has just waited so long for another device, which is no time of its own."""


def _plain(value: Any) -> Any:
    if isinstance(value, Runtime):
        return value.settings()
    return str(value) if isinstance(value, torch.dtype) else value


def log_value(trainer: pl.Trainer, pl_module: pl.LightningModule, name: str, value: float) -> None:
    """Log a value that is the same in all processes with the epoch, in double precision where there is any.

    Lightning rounds numbers to single precision otherwise, which is too coarse for counts above 16 million.
    """
    if trainer.barebones:
        return
    dtype = torch.float32 if pl_module.device.type == "mps" else torch.float64
    tensor = torch.tensor(value, dtype=dtype, device=pl_module.device)
    pl_module.log(name, tensor, on_step=False, on_epoch=True, sync_dist=True, batch_size=1)
