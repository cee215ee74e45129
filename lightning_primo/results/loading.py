"""The trained networks of a search, read from the checkpoints of its trials."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import lightning.pytorch as pl
import torch
from torch.nn.parameter import is_lazy

from lightning_primo.errors import CheckpointError, PrimoError
from lightning_primo.factory import Factory
from lightning_primo.layout import checkpoint_file, trial_directory, trials_directory
from lightning_primo.results.trial_result import TrialResult
from lightning_primo.training.checkpoint.record import load_weights, read_model, weights_in
from lightning_primo.training.process_state import process_kept

StateDict = dict[str, torch.Tensor]
T = TypeVar("T")


def load_state(directory: Path, trial: TrialResult) -> StateDict:
    """The weights of a trial, on the CPU; of a trial that failed later, those of its last checkpoint.

    Args:
        directory: The search's directory.
        trial: The trial.

    Raises:
        CheckpointError: If its checkpoint was removed, or cannot be read.
        PrimoError: If the trial was never trained, or not by a search in this directory.
    """
    return _read(directory, trial, weights_in)


def load_checkpoint(directory: Path, trial: TrialResult) -> dict[str, Any]:
    """A trial's weights and hyperparameters as a checkpoint of Lightning's, which its ``ckpt_path`` takes.

    Args:
        directory: The search's directory.
        trial: The trial.

    Raises:
        CheckpointError, PrimoError: As for `load_state`.
    """
    return _read(directory, trial, read_model)


def _read(directory: Path, trial: TrialResult, read: Callable[[Path], T]) -> T:
    path = checkpoint_file(trial_directory(directory, trial.id))
    if trial.known:
        raise PrimoError(
            f"trial {trial.id} has no weights here: its result was known already when it was given to the search; "
            "train its configuration, or load it where it was trained"
        )
    if trial.epoch == 0:
        reason = f": {trial.reason}" if trial.reason else ""
        raise PrimoError(f"trial {trial.id} has no weights, no training of it succeeded ({trial.outcome}{reason})")
    try:
        return read(path)
    except FileNotFoundError as error:
        if not trials_directory(directory).exists():
            raise PrimoError(
                f"trial {trial.id} has no weights here: no Search has trained anything in {str(directory)!r}. In a "
                "Study trainings are your own, and their networks are where those put them; a search that was copied "
                "needs its folder 'trials' too. The configurations and values need no weights: `lightning-primo front "
                "DIRECTORY --csv`, or `save_table` of the result"
            ) from error
        raise CheckpointError(
            f"the checkpoint of trial {trial.id} is gone, {str(path)!r} does not exist: checkpoints are kept for the "
            "trials on or near the front and for those that may still be continued; one that came to the front only "
            "when its latency was measured again may have lost its own. Choose other trials (`trials` of an export), "
            "search with keep_all_checkpoints=True, or, while the search runs, read its result again"
        ) from error


def load_module(directory: Path, trial: TrialResult, build: Factory) -> pl.LightningModule:
    """The trained module of a trial, on the CPU and in evaluation mode.

    Args:
        directory: The search's directory.
        trial: The trial.
        build: How its module is built.

    Raises:
        PrimoError: As for `load_state`, or if its weights do not fit the module that is built now.
    """
    state = load_state(directory, trial)
    with process_kept():  # the initial weights are drawn from the global generator
        module = build.whole_module(trial.config, with_setup=False)  # which needs no data, where that is enough
        if not _fits(module, state):
            module = build.whole_module(trial.config)
    try:
        load_weights(module, state)
    except RuntimeError as error:
        raise PrimoError(
            f"the weights of trial {trial.id} do not fit the module that its configuration builds now; has the code "
            "changed since it was trained? Layers that it makes in setup() are there only if that needs no more of its "
            f"Trainer than the datamodule; else make them in __init__ or configure_model(). {error}"
        ) from error
    module.cpu().eval()
    return module


def _fits(module: pl.LightningModule, state: StateDict) -> bool:
    """Whether the weights have the names of the module's, and their shapes where those are known."""
    own = module.state_dict()
    return own.keys() == state.keys() and all(
        is_lazy(value) or not isinstance(value, torch.Tensor) or value.shape == state[name].shape
        for name, value in own.items()
    )
