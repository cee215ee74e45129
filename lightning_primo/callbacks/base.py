"""The base of the objectives: a Lightning callback that carries an `Objective` and reports its value."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import Callback

from lightning_primo.objective import Objective


class ObjectiveCallback(Callback):
    """An objective, as a callback that also works alone in any Trainer.

    Attributes:
        objective: Name, mode, kind, bounds.
        value: The value last read, in the user's unit; NaN before the first reading.
    """

    def __init__(self, objective: Objective) -> None:
        self.objective = objective
        self.value = math.nan

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.objective.name!r})"


class CostCallback(ObjectiveCallback):
    """An objective known before the first training step: `Kind.EXACT` or `Kind.MEASURED`.

    Alone in a Trainer it measures the module when the fit starts and logs the value with every epoch under the
    objective's name.
    """

    @abstractmethod
    def measure(self, module: torch.nn.Module, inputs: Any) -> float:
        """The value of this objective for `module`, called with the inputs of a batch.

        Args:
            module: The module. For `Kind.EXACT` it may lie on the meta device and must not be computed with.
            inputs: What is passed to `module(*inputs)` if a tuple, else `module(inputs)`; on the module's device.
                None where the objective needs none (`needs_inputs`).
        """

    @property
    def needs_inputs(self) -> bool:
        """Whether `measure` calls the module."""
        return True

