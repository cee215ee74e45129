"""Checkpoints with the hyperparameters that hold objects, for libraries that build their modules from them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from lightning_primo.checks import printable_lines
from lightning_primo.errors import PrimoError
from lightning_primo.factory import Factory
from lightning_primo.results.loading import load_checkpoint, load_module
from lightning_primo.results.trial_result import TrialResult
from lightning_primo.training.checkpoint.plain_hyperparameters import LEFT_OUT

FILE_NAME = "model_with_objects.ckpt"


def objects_writer(directory: Path, build: Factory) -> Callable[[TrialResult, Path], None]:
    """What writes the checkpoint of a trial into a folder, with all that its module's `save_hyperparameters` kept.

    A search's own checkpoints hold no objects. Those are taken of a module that is built anew for this.

    Args:
        directory: The search's directory.
        build: How modules are built.

    Returns:
        A function of the trial and the folder. It raises a PrimoError if the module saves no hyperparameters, or some
        that cannot be pickled, and what `load_module` raises.
    """

    def write(trial: TrialResult, folder: Path) -> None:
        module = load_module(directory, trial, build)
        kind = type(module).__name__
        if not module.hparams:
            raise PrimoError(
                f"{kind} keeps no hyperparameters, so load_from_checkpoint has none to build it from: call "
                "self.save_hyperparameters() in its __init__, or export without its objects"
            )
        hparams: Any = module.hparams
        kept: dict[str, Any] = {type(module).CHECKPOINT_HYPER_PARAMS_KEY: dict(hparams)}
        if type(hparams).__module__.partition(".")[0] == "omegaconf":  # whose class Lightning notes, to restore it
            kept |= {
                type(module).CHECKPOINT_HYPER_PARAMS_KEY: hparams,
                type(module).CHECKPOINT_HYPER_PARAMS_TYPE: type(hparams),
            }
        if hasattr(module, "_hparams_name"):
            kept[type(module).CHECKPOINT_HYPER_PARAMS_NAME] = module._hparams_name
        checkpoint = {**load_checkpoint(directory, trial), **kept}
        checkpoint.pop(LEFT_OUT, None)
        try:
            torch.save(checkpoint, folder / FILE_NAME)
        except OSError:  # of the disk
            raise
        except Exception as error:
            raise PrimoError(
                f"the hyperparameters of {kind} cannot be pickled ({type(error).__name__}: "
                f"{printable_lines(str(error))}); export without them, and give them to load_from_checkpoint"
            ) from error

    return write
