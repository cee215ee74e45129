"""Going on with a checkpoint's training under another configuration of its optimisers and schedules."""

from __future__ import annotations

from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import Callback
from typing_extensions import override

from lightning_primo.callbacks.optimizer_settings import Settings, reconfigure, require_alike, same, settings_of_trainer
from lightning_primo.errors import TakeOverError


class ConfiguredSettings(Callback):
    """Keeps in the checkpoint what optimisers and schedules were configured with, for a `Reconfigured` that goes on."""

    def __init__(self) -> None:
        self._configured: Settings | None = None

    @property
    def begun(self) -> bool:
        """Whether a training has begun, with what it goes on from restored."""
        return self._configured is not None

    @property
    @override
    def state_key(self) -> str:
        return "ConfiguredSettings"  # also of what is derived from it

    @override
    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        # What was configured is complete here, and not restored yet.
        self._configured = settings_of_trainer(trainer)

    @override
    def state_dict(self) -> dict[str, Any]:
        return {"configured": self._configured}


class Reconfigured(ConfiguredSettings):
    """Lets a training that is gone on with from a checkpoint take the optimiser's settings that the module has now.

    Without it a checkpoint brings its own learning rate, weight decay, momentum and schedules along, whatever
    ``configure_optimizers`` says. With it (and in the training before with it or `ConfiguredSettings`, as the
    checkpoint must tell what it was configured with) their *state* is the checkpoint's, and of the settings those that
    are configured as they were then. The others become what is configured now, moved as far as schedules had moved the
    old ones (`optimizer_settings.moved`). Where nothing is configured otherwise, nothing changes.

    What a hyperparameter is beside the optimiser (a dropout, a batch size) is as the new module and data have it.

    The change is made before the first epoch that follows, or the first batch where that is inside an epoch.

    Raises:
        TakeOverError: In the Trainer, if the checkpoint's optimisers or schedules are of other classes, or a callback
            has given optimisers other groups of parameters than were configured; or if the checkpoint does not tell.
    """

    def __init__(self) -> None:
        super().__init__()
        self._before: Settings | None = None

    @override
    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        super().on_fit_start(trainer, pl_module)
        if self._before is None:
            if trainer.ckpt_path is not None:
                raise TakeOverError(
                    f"the checkpoint {str(trainer.ckpt_path)!r} does not tell what its training was configured with, "
                    "so that its settings would stay; train with ConfiguredSettings() or Reconfigured() from the start"
                )
        elif self._configured is not None:
            require_alike(self._before, self._configured)

    @override
    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        # Not earlier: a schedule that watches a metric may be stepped before the first epoch, for the one before it.
        self._reconfigure(trainer)

    @override
    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        self._reconfigure(trainer)  # of a training that goes on inside an epoch

    def _reconfigure(self, trainer: pl.Trainer) -> None:
        before, self._before = self._before, None
        if before is None or self._configured is None or same(before, self._configured):
            return
        require_alike(before, settings_of_trainer(trainer))
        schedulers = [config.scheduler for config in trainer.lr_scheduler_configs]
        reconfigure(trainer.optimizers, schedulers, before, self._configured)

    @override
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._before = state_dict["configured"]
