"""A training that starts from the weights of another trial, its parent."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path

import lightning.pytorch as pl
import torch

from lightning_primo.callbacks.recorder import FILE_NAME
from lightning_primo.errors import CheckpointWarning
from lightning_primo.measure.isolation import rng_kept
from lightning_primo.nas.distillation import distil
from lightning_primo.nas.factory import Factory
from lightning_primo.nas.morphisms import inherit
from lightning_primo.trial import Config

_DISTILLED = frozenset({"prune"})
"""Operations that change the function, so that the child is trained to match its parent's outputs."""


@dataclass(frozen=True, kw_only=True)
class Inheritance:
    """From whom a trial inherits its weights, and how.

    Args:
        config: The parent's configuration.
        directory: The parent's directory, with its checkpoint.
        operation: How the parent's network becomes the child's: ``"deepen"``, ``"widen"`` or ``"prune"``.
    """

    config: Config
    directory: Path
    operation: str

    def apply(self, child: pl.LightningModule, factory: Factory, *, seed: int, resumed: bool) -> None:
        """Give a module that is about to be trained its parent's weights, and the parent as teacher if it was pruned.

        Without the parent's checkpoint the child is trained from scratch, with a CheckpointWarning.

        Args:
            child: Newly built.
            factory: Builds the parent.
            seed: For what is drawn; the global generators are left as they are.
            resumed: Whether the child's own checkpoint will follow, so that only the teacher is needed.
        """
        if resumed and self.operation not in _DISTILLED:
            return
        parent = self._parent(factory)
        if parent is None:
            return
        if not resumed:
            child.configure_model()
            inherit(child, parent, self.operation, torch.Generator().manual_seed(seed))
        if self.operation in _DISTILLED:
            distil(child, parent)

    def _parent(self, factory: Factory) -> pl.LightningModule | None:
        path = self.directory / FILE_NAME
        try:
            weights = torch.load(path, map_location="cpu", weights_only=True)["state_dict"]
        except FileNotFoundError:
            warnings.warn(
                f"{path} is missing, whose weights were to be inherited ({self.operation}); the trial is trained from "
                "scratch",
                CheckpointWarning,
                stacklevel=2,
            )
            return None
        with rng_kept():
            parent = factory.module(self.config)
            parent.configure_model()
        parent.load_state_dict(weights)
        return parent
