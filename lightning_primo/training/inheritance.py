"""A training that starts from that of another trial, its parent: from its weights, or from all that it has come to."""

from __future__ import annotations

import types
import warnings
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path

import lightning.pytorch as pl
import torch
from typing_extensions import override

from lightning_primo.checks import printable_lines
from lightning_primo.errors import CheckpointError, CheckpointWarning, TakeOverError
from lightning_primo.factory import Factory
from lightning_primo.layout import checkpoint_file, epoch_checkpoint
from lightning_primo.measure.isolation import rng_kept
from lightning_primo.nas.distillation import distil
from lightning_primo.nas.morphisms import inherit
from lightning_primo.problem.trial import Config
from lightning_primo.training.checkpoint.record import load_weights, plain_shapes, read_weights, record_in, weights_in


@dataclass(frozen=True, kw_only=True)
class Inheritance(ABC):
    """What a trial has from its parent.

    Args:
        config: The parent's configuration.
        directory: The parent's directory, with its checkpoints.
    """

    config: Config
    directory: Path

    @property
    def distils(self) -> bool:
        """Whether the child is trained to match its parent's outputs."""
        return False

    def micro_batches(self) -> int:
        """In how many parts the child's batches are trained to begin with."""
        return 1

    @abstractmethod
    def apply(self, child: pl.LightningModule, factory: Factory, *, seed: int, resumed: bool) -> Path | None:
        """Give a module that is about to be trained what it has from its parent.

        The global generators are left as they are.

        Args:
            child: Newly built.
            factory: Builds the parent.
            seed: For what is drawn.
            resumed: Whether the child's own checkpoint is gone on from, which then holds what was inherited.

        Returns:
            The checkpoint that its training goes on from; None if it begins, or goes on from its own.
        """

    def explained(self, error: Exception, child: pl.LightningModule, config: Config, factory: Factory) -> Exception:
        """What to raise in place of an error that has ended the training of the child of `config`."""
        return error


@dataclass(frozen=True, kw_only=True)
class Morphism(Inheritance):
    """A network that begins as its parent's, changed: its training is its own from the start.

    Args:
        operation: How the parent's network becomes the child's: ``"deepen"``, ``"widen"`` or ``"prune"``.
    """

    operation: str

    @property
    @override
    def distils(self) -> bool:
        return self.operation == "prune"  # which does not preserve the function

    @override
    def apply(self, child: pl.LightningModule, factory: Factory, *, seed: int, resumed: bool) -> Path | None:
        if resumed and not self.distils:
            return None
        with rng_kept():
            parent = self._parent(factory, resumed=resumed)
            if parent is None:
                return None
            if not resumed:
                child.configure_model()
                # The Trainer calls it again, which would make layers that know nothing of the parent.
                child.configure_model = types.MethodType(_leave_as_it_is, child)  # type: ignore[method-assign]
                inherit(child, parent, self.operation, torch.Generator().manual_seed(seed))
            if self.distils:
                distil(child, parent)
        return None

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


@dataclass(frozen=True, kw_only=True)
class TakeOver(Inheritance):
    """A training that goes on from its parent's as it was after some epoch, with other hyperparameters of training.

    Args:
        epoch: The parent's.
    """

    epoch: int

    @property
    def path(self) -> Path:
        """The parent's checkpoint of that epoch."""
        return epoch_checkpoint(self.directory, self.epoch)

    @override
    def micro_batches(self) -> int:
        record = record_in(self.path)
        return 1 if record is None else record.micro_batches

    @override
    def apply(self, child: pl.LightningModule, factory: Factory, *, seed: int, resumed: bool) -> Path | None:
        if resumed:
            return None
        record = record_in(self.path)
        if record is not None and record.epoch == self.epoch:
            return self.path
        what = "there is none" if record is None else f"it is of epoch {record.epoch}"
        raise CheckpointError(
            f"{str(self.path)!r}, from which the training of trial {int(self.directory.name)} would be taken over "
            f"after epoch {self.epoch}, cannot be used: {what}"
        )

    @override
    def explained(self, error: Exception, child: pl.LightningModule, config: Config, factory: Factory) -> Exception:
        if not self.path.exists():
            return error
        weights = plain_shapes(weights_in(self.path))
        if isinstance(error, TakeOverError):
            culprits, why = self._changed(config), str(error)
        elif plain_shapes(child.state_dict()) != weights:
            culprits, why = self._misfits(config, factory, weights), "its weights do not fit this network"
        else:
            return error
        named = " and ".join(map(repr, culprits))
        return TakeOverError(
            f"the training of trial {int(self.directory.name)} cannot be gone on with when {named} changes: {why}. "
            "Leave it out of what the algorithm changes, as in PBT(hyperparameters=['lr', ...])"
        )

    def _changed(self, config: Config) -> list[str]:
        names = dict.fromkeys((*self.config, *config))
        return [name for name in names if self.config.get(name) != config.get(name)]

    def _misfits(self, config: Config, factory: Factory, weights: dict[str, tuple[int, ...] | None]) -> list[str]:
        """Those of the hyperparameters that differ which change the network each by itself; all where none does."""
        changed = self._changed(config)
        return [name for name in changed if not self._fits(name, config, factory, weights)] or changed

    def _fits(self, name: str, config: Config, factory: Factory, weights: dict[str, tuple[int, ...] | None]) -> bool:
        mixed = {**self.config, name: config[name]} if name in config else dict(self.config)
        if name not in config:
            del mixed[name]
        try:
            with rng_kept():
                return plain_shapes(factory.whole_module(mixed, with_setup=False).state_dict()) == weights
        except Exception:  # of the user's code, for what may be no configuration of the space
            return False


def _leave_as_it_is(module: pl.LightningModule) -> None:
    """In the place of `configure_model`, once its layers are made."""
