"""A module's `setup` without a Trainer, for the layers that it makes there from what the data tell.

Whoever measures a module or loads weights into it wants it whole, and has no Trainer.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.loggers.logger import DummyLogger

from lightning_primo.errors import NotMeasurableError


class TrainerNeededError(NotMeasurableError):
    """A module's `setup` asks its Trainer for more than the data module, and there is no Trainer.

    Args:
        name: What it asks for.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(f"setup() reads 'self.trainer.{name}', and there is no Trainer yet")


# Of the only process there is. A module that is another one in several is found out once there is a Trainer.
_OF_ONE_PROCESS = {"is_global_zero": True, "world_size": 1, "global_rank": 0, "local_rank": 0, "node_rank": 0}


class _Unattached:
    """In the place of a Trainer: its data module is there, it is the only process, and it logs to nowhere."""

    def __init__(self, data: Callable[[], pl.LightningDataModule | None]) -> None:
        self._data = data
        self.lent: list[str] = []  # the names of what was asked for and is not a Trainer's own

    @cached_property
    def datamodule(self) -> pl.LightningDataModule | None:
        with torch.device("cpu"):  # data are no part of a module that is built on the meta device
            return self._data()

    @property
    def logger(self) -> DummyLogger:
        self.lent.append("logger")
        return DummyLogger()

    @property
    def loggers(self) -> list[DummyLogger]:
        self.lent.append("loggers")
        return [DummyLogger()]

    def __getattr__(self, name: str) -> Any:
        if name in _OF_ONE_PROCESS:
            self.lent.append(name)
            return _OF_ONE_PROCESS[name]
        raise TrainerNeededError(name)


def set_up(module: pl.LightningModule, data: Callable[[], pl.LightningDataModule | None]) -> None:
    """Call ``module.setup("fit")`` as a Trainer would, with the data module as ``self.trainer.datamodule``.

    What it logs there goes nowhere, and it finds itself in one process.

    Args:
        module: Newly built; it is attached to no Trainer afterwards.
        data: Gives the data, set up; called only if the module asks for them.

    Raises:
        TrainerNeededError: If it asks for anything else of the Trainer, or can't do with those loggers.
        NotMeasurableError: If it fails; the message names the places where layers can be made without it.
    """
    unattached = _Unattached(data)
    module.trainer = unattached  # type: ignore[assignment]
    try:
        module.setup("fit")
    except TrainerNeededError:
        raise
    except Exception as error:
        if unattached.lent:
            raise TrainerNeededError(unattached.lent[-1]) from error
        raise NotMeasurableError(
            f"setup() of {type(module).__name__} may make layers, so it is called before the module is measured or "
            f"given weights, but without a Trainer it fails: {type(error).__name__}: {error}. Make the layers in "
            "__init__ or configure_model(), or let setup('fit') work with no more than self.trainer.datamodule"
        ) from error
    finally:
        module.trainer = None
