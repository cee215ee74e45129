"""A training that starts from the weights of another trial, its parent."""

from __future__ import annotations

import types
import warnings
from dataclasses import dataclass
from pathlib import Path

import lightning.pytorch as pl
import torch

from lightning_primo.checks import printable_lines
from lightning_primo.errors import CheckpointError, CheckpointWarning
from lightning_primo.factory import Factory
from lightning_primo.layout import checkpoint_file
from lightning_primo.measure.isolation import rng_kept
from lightning_primo.nas.distillation import distil
from lightning_primo.nas.morphisms import inherit
from lightning_primo.problem.trial import Config
from lightning_primo.training.checkpoint.record import load_weights, read_weights


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

    @property
    def distils(self) -> bool:
        """Whether the child is trained to match its parent's outputs: the operation does not preserve the function."""
        return self.operation == "prune"

    def apply(self, child: pl.LightningModule, factory: Factory, *, seed: int, resumed: bool) -> None:
        """Give a module that is about to be trained its parent's weights, and the parent as teacher if it was pruned.

        Without a usable checkpoint of the parent the child is trained without it, with a CheckpointWarning. The global
        generators are left as they are.

        Args:
            child: Newly built.
            factory: Builds the parent.
            seed: For what is drawn.
            resumed: Whether the child's own checkpoint will follow, so that only the teacher is needed.
        """
        if resumed and not self.distils:
            return
        with rng_kept():
            parent = self._parent(factory, resumed=resumed)
            if parent is None:
                return
            if not resumed:
                child.configure_model()
                # The Trainer calls it again, which would make layers that know nothing of the parent.
                child.configure_model = types.MethodType(_leave_as_it_is, child)  # type: ignore[method-assign]
                inherit(child, parent, self.operation, torch.Generator().manual_seed(seed))
            if self.distils:
                distil(child, parent)

    def _parent(self, factory: Factory, *, resumed: bool) -> pl.LightningModule | None:
        try:
            weights = read_weights(self.directory)
        except (FileNotFoundError, CheckpointError) as error:
            instead = "goes on without its teacher" if resumed else "is trained from scratch"
            warnings.warn(
                f"{str(checkpoint_file(self.directory))!r}, the parent that a trial inherits from ({self.operation}), "
                f"cannot be read ({printable_lines(str(error))}); the trial {instead}",
                CheckpointWarning,
                stacklevel=3,
            )
            return None
        parent = factory.whole_module(self.config, with_setup=False)
        load_weights(parent, weights)
        return parent


def _leave_as_it_is(module: pl.LightningModule) -> None:
    """In the place of `configure_model`, once its layers are made."""
