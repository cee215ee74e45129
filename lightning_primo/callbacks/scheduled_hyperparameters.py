"""Hyperparameters that change during a training, as a search has found them to be good."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.core.optimizer import _init_optimizers_and_lr_schedulers
from lightning.pytorch.utilities.model_helpers import is_overridden
from typing_extensions import override

from lightning_primo.callbacks.optimizer_settings import (
    Settings,
    reconfigure,
    require_alike,
    same,
    settings_of,
    settings_of_trainer,
)
from lightning_primo.checks import check_mapping, shown
from lightning_primo.errors import InvalidArgumentError
from lightning_primo.factory import Factory
from lightning_primo.measure.isolation import rng_kept
from lightning_primo.problem.trial import Config

Setter = Callable[[pl.LightningModule, Any], None]
"""Gives a module that is being trained another value of a hyperparameter."""


class ScheduledHyperparameters(Callback):
    """Trains one module by a schedule of configurations, as the trials of a `PBT` were trained one after another.

    Where a configuration gives way to the next one, the optimiser's settings and the schedules change as for a trial
    that takes over another's training (`Reconfigured`), so that the weights come out the same, to the bit, if all else
    is the same too (initial weights, data and their order; `ReproducibleEpochs`). What a setting would be is found out
    by building a module of the configuration; none of its weights are used.

    A hyperparameter that is no setting of an optimiser or schedule (a dropout, an augmentation) cannot be changed from
    outside. Say how in `setters`; where it is part of the data, or no assignment to the module changes it, train from
    one entry of the schedule to the next instead, each with a module of its own and the checkpoint of the one before,
    and `Reconfigured` in each Trainer.

    Args:
        schedule: Configurations by the number of epochs after which each holds, the first one from 0 on: a trial's
            ``schedule``, or what an export's ``schedule.json`` holds (texts for numbers there).
        module: How a module of a configuration is built, as for `Search`. What is trained is to be of the first one.
        setters: By the name of a hyperparameter that is no setting of the optimiser, how a module that is being trained
            gets another value of it.

    Raises:
        InvalidArgumentError: If `schedule` does not begin at 0 or holds no configurations, or in the Trainer for a
            module that is not configured as the first one, or a hyperparameter that changes and is neither a setting of
            the optimiser nor in `setters`.
        TakeOverError: In the Trainer, if a configuration has other optimisers or schedules than the one before.
    """

    def __init__(
        self, schedule: Mapping[Any, Config], *, module: Any, setters: Mapping[str, Setter] | None = None
    ) -> None:
        self.schedule = _checked(schedule)
        self.setters = check_mapping("setters", setters, "the names of hyperparameters to functions (module, value)")
        self._factory = Factory(module, None)
        self._resumes = False

    @override
    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.ckpt_path is None and not same(
            self._configured(self.schedule[0], trainer), settings_of_trainer(trainer)
        ):
            raise InvalidArgumentError(
                "'schedule' begins with a configuration whose optimisers and schedules are not those of the module "
                f"that is trained: {dict(self.schedule[0])}; train a module of that configuration"
            )
        for old, new in pairwise(self.schedule.values()):
            self._require_settable(old, new, trainer)
        self._resumes = trainer.ckpt_path is not None

    @override
    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        epochs = [epoch for epoch in self.schedule if epoch <= trainer.current_epoch]
        resumes, self._resumes = self._resumes, False
        if resumes:  # the checkpoint has the optimisers' settings, but not what the setters have set
            for old, new in pairwise(self.schedule[epoch] for epoch in epochs):
                self._set(old, new, pl_module)
        if trainer.current_epoch not in self.schedule or len(epochs) < 2:
            return
        old, new = (self.schedule[epoch] for epoch in epochs[-2:])
        schedulers = [config.scheduler for config in trainer.lr_scheduler_configs]
        settings = (self._configured(config, trainer) for config in (old, new))
        reconfigure(trainer.optimizers, schedulers, *settings)
        self._set(old, new, pl_module)

    def _set(self, old: Config, new: Config, module: pl.LightningModule) -> None:
        for name in _changed(old, new):
            if name in self.setters and name in new:
                self.setters[name](module, new[name])

    def _require_settable(self, old: Config, new: Config, trainer: pl.Trainer) -> None:
        before = self._configured(old, trainer)
        require_alike(before, self._configured(new, trainer))
        for name in _changed(old, new):
            if name in self.setters:
                continue
            if name in old and name in new and not same(before, self._configured({**old, name: new[name]}, trainer)):
                continue
            raise InvalidArgumentError(
                f"'schedule' changes {name!r}, which is no setting of the optimisers and schedules of the module, so "
                f"that nothing is known of how to change it; give it in 'setters', such as setters={{{name!r}: lambda "
                "module, value: ...}, or train from entry to entry with a module for each and the checkpoint of the "
                "one before, and Reconfigured() in each Trainer"
            )

    def _configured(self, config: Config, trainer: pl.Trainer) -> Settings:
        """With what the optimisers of a configuration begin in this Trainer."""
        with rng_kept(trainer.strategy.root_device):
            module = self._factory.module(config)
            module.trainer = trainer
            if is_overridden("setup", module):
                module.setup("fit")
            module.configure_model()
            optimizers, schedulers = _init_optimizers_and_lr_schedulers(module)
        return settings_of(optimizers, [entry.scheduler for entry in schedulers])


def _changed(old: Config, new: Config) -> Iterator[str]:
    """The hyperparameters that differ."""
    for name in dict.fromkeys((*old, *new)):
        if name not in old or name not in new or old[name] != new[name]:
            yield name


def _checked(schedule: object) -> dict[int, Config]:
    entries = dict(schedule) if isinstance(schedule, Mapping) else {}
    epochs = {int(key): config for key, config in entries.items() if _is_epoch(key)}
    if len(epochs) < len(entries) or 0 not in epochs or not all(isinstance(c, Mapping) for c in epochs.values()):
        raise InvalidArgumentError(
            "'schedule' must map numbers of epochs, the first of them 0, to configurations, such as {0: {'lr': 0.1}, "
            f"10: {{'lr': 0.05}}}}, got {shown(schedule)}"
        )
    return {epoch: dict(epochs[epoch]) for epoch in sorted(epochs)}


def _is_epoch(key: object) -> bool:
    whole = isinstance(key, int) and not isinstance(key, bool) and key >= 0
    return whole or (isinstance(key, str) and key.isdecimal())
