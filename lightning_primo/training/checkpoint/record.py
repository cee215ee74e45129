"""What a training has reached, as its checkpoint says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.utilities import rank_zero_warn
from torch import nn
from torch.nn.parameter import is_lazy

from lightning_primo.checks import printable_lines
from lightning_primo.errors import CheckpointError, CheckpointWarning
from lightning_primo.layout import checkpoint_file
from lightning_primo.problem.place import Place

KEY = "Recorder"
"""The entry of a checkpoint's callback states that holds the record."""

BEST_WEIGHTS = "best_weights"
"""Where the weights of the best epoch lie beside it, if they are the trial's and not the last ones."""

_OF_TRAINING = ("callbacks", "lr_schedulers", "optimizer_states", "MixedPrecision")


@dataclass(kw_only=True)
class Record:
    """What a training has reached; it grows with every epoch.

    Args:
        identity: Text that tells this trial from any other.
        curve: The objectives' values after each epoch, by epoch (from 1) and name.
        tuned: The values of the hyperparameters that callbacks tune after each epoch, by epoch and name.
        costs: The costs that do not change during training by name, those of constraints and spreads included.
        measured_on: Where they were measured, by the objective's name.
        begun: The last epoch that was begun by the present attempt; 0 before the first, and not kept in checkpoints.
        finished: Whether the training ended by itself, so that it can't be continued.
        micro_batches: In how many parts its batches are trained.
        rung: The level that the training is for, where it goes on with that of no other level; 0 where it does.
        length: The epochs of the whole training to that level; 0 where they are not known yet, or levels count them.
    """

    identity: str = ""
    curve: dict[int, dict[str, float]] = field(default_factory=dict)
    tuned: dict[int, dict[str, float]] = field(default_factory=dict)
    costs: dict[str, float] = field(default_factory=dict)
    measured_on: dict[str, Place] = field(default_factory=dict)
    begun: int = field(default=0, compare=False)
    finished: bool = False
    micro_batches: int = 1
    rung: int = 0
    length: int = 0

    @property
    def epoch(self) -> int:
        """The last epoch trained; 0 before the first."""
        return max(self.curve, default=0)

    def state(self) -> dict[str, Any]:
        """The record as plain containers, for a checkpoint."""
        return {
            "identity": self.identity,
            "curve": {epoch: dict(values) for epoch, values in self.curve.items()},
            "tuned": {epoch: dict(values) for epoch, values in self.tuned.items()},
            "costs": dict(self.costs),
            "measured_on": {name: dict(place) for name, place in self.measured_on.items()},
            "finished": self.finished,
            "micro_batches": self.micro_batches,
            "rung": self.rung,
            "length": self.length,
        }

    @classmethod
    def of_state(cls, state: Mapping[str, Any]) -> Record:
        """The inverse of `state`, which may hold more."""
        return cls(
            identity=state["identity"],
            curve={epoch: dict(values) for epoch, values in state["curve"].items()},
            tuned={epoch: dict(values) for epoch, values in state["tuned"].items()},
            costs=dict(state["costs"]),
            measured_on={name: dict(place) for name, place in state["measured_on"].items()},
            finished=state["finished"],
            micro_batches=state["micro_batches"],
            rung=state["rung"],
            length=state["length"],
        )


def read_record(directory: Path) -> Record | None:
    """What the checkpoint in a trial's directory says; see `record_in`."""
    return record_in(checkpoint_file(directory))


def record_in(path: Path) -> Record | None:
    """What a checkpoint says, or None where there is none that can be used.

    A file that cannot be read, as after a full disk, counts as none, with a CheckpointWarning.
    """
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        return Record.of_state(checkpoint["callbacks"][KEY])
    except FileNotFoundError:
        return None
    except Exception as error:
        rank_zero_warn(
            f"the checkpoint {str(path)!r} cannot be read ({type(error).__name__}: {printable_lines(str(error))}); the "
            "trial is trained from scratch",
            category=CheckpointWarning,
        )
        return None


def read_own_record(directory: Path, identity: str, rung: int = 0) -> Record | None:
    """The same for the trial of this identity; the checkpoint of another one counts as none, with the same warning.

    Args:
        directory: The trial's.
        identity: The trial's.
        rung: The level that the training must be for; one for another level counts as none.
    """
    record = read_record(directory)
    if record is None or record.identity == identity:
        return record if record is None or record.rung == rung else None
    rank_zero_warn(
        f"{str(checkpoint_file(directory))!r} belongs to another trial ({record.identity}, not {identity}); it is not "
        "used, the trial is trained from scratch",
        category=CheckpointWarning,
    )
    return None


def read_weights(directory: Path) -> dict[str, torch.Tensor]:
    """The module's state dict in the checkpoint in a trial's directory; see `weights_in`."""
    return weights_in(checkpoint_file(directory))


def weights_in(path: Path) -> dict[str, torch.Tensor]:
    """The trial's weights in a checkpoint, on the CPU, as if nothing were compiled: the last ones, or the best.

    Raises:
        FileNotFoundError: If there is none.
        CheckpointError: If it cannot be read.
    """
    return {plain_name(name): tensor for name, tensor in read_model(path)["state_dict"].items()}


def read_model(path: Path) -> dict[str, Any]:
    """What of a checkpoint is of the module, on the CPU: as Lightning writes it where it is to save the weights only.

    Returns:
        A checkpoint of Lightning's with the trial's weights, the last ones or the best, and its hyperparameters.

    Raises:
        FileNotFoundError: If there is none.
        CheckpointError: If it cannot be read.
    """
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
        recorded = checkpoint.get("callbacks", {}).get(KEY, {})
        weights: dict[str, torch.Tensor] = recorded.get(BEST_WEIGHTS, checkpoint["state_dict"])
        kept = {key: value for key, value in checkpoint.items() if key not in _OF_TRAINING}
        return {**kept, "state_dict": dict(weights)}
    except FileNotFoundError:
        raise
    except Exception as error:  # whatever a damaged file leads to
        reason = f"{type(error).__name__}: {error}"
        raise CheckpointError(f"the checkpoint {str(path)!r} cannot be read: {reason}") from error


def load_weights(module: nn.Module, weights: Mapping[str, torch.Tensor]) -> None:
    """Give a module the weights of `read_weights`, whichever of its layers are compiled.

    Raises:
        RuntimeError: If they do not fit.
    """
    names = {plain_name(name): name for name in module.state_dict()}
    module.load_state_dict({names.get(name, name): tensor for name, tensor in weights.items()}, strict=True)


def plain_shapes(weights: Mapping[str, Any]) -> dict[str, tuple[int, ...] | None]:
    """The shapes of weights by their names, as if nothing were compiled; None where there is none yet."""
    return {
        plain_name(name): None if is_lazy(value) else tuple(getattr(value, "shape", ()))
        for name, value in weights.items()
    }


def plain_name(name: str) -> str:
    """The name of a weight without what `torch.compile` puts around the layers that it compiles."""
    return name.replace("_orig_mod.", "")
