"""The held-out batches, in an order that follows from how many were drawn before."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.utilities.combined_loader import CombinedLoader
from torch.utils.data import DataLoader, IterableDataset

from lightning_primo.callbacks.reproducibility import seed_globals
from lightning_primo.checks import shown
from lightning_primo.errors import InvalidArgumentError
from lightning_primo.measure.isolation import rng_kept

_SAMPLING, _LOADING = 17, 19  # streams of random numbers


class HeldOutBatches:
    """The batches of a DataLoader, over and over, in this process.

    Batch `n` is the same whenever it is drawn: what its sampler, dataset and collation draw from global generators
    follows from `n`, and these are put back. So `n` is all that a checkpoint must hold.

    Args:
        loader: A DataLoader with a map-style dataset.
        device: The module's, whose generator is kept as well.

    Raises:
        InvalidArgumentError: If it is none, or empty.
    """

    def __init__(self, loader: Any, *, device: torch.device) -> None:
        if not isinstance(loader, DataLoader) or isinstance(loader.dataset, IterableDataset):
            what = type(loader.dataset).__name__ if isinstance(loader, DataLoader) else shown(loader)
            raise InvalidArgumentError(
                f"hypergradients need held-out batches from a DataLoader over a dataset with __getitem__, got {what}; "
                "name a method that returns one by 'held_out'"
            )
        self._loader = loader
        self._device = device
        self._pass = -1
        self._indices: list[Any] = []
        if self._in_pass(0) == 0:
            raise InvalidArgumentError("hypergradients need held-out batches, and their DataLoader has none")

    def __getitem__(self, number: int) -> Any:
        """Batch `number`, counted from 0 over all passes, on the CPU."""
        size = len(self._indices)
        if self._in_pass(number // size) != size:  # a sampler of batches whose passes have unequal lengths
            raise InvalidArgumentError("hypergradients need a held-out DataLoader with as many batches in each pass")
        loader = self._loader
        with rng_kept(self._device):
            seed_globals(number, _LOADING)
            index = self._indices[number % size]
            if loader.batch_sampler is None:
                return next(
                    iter(DataLoader(loader.dataset, batch_size=None, sampler=[index], collate_fn=loader.collate_fn))
                )
            return next(iter(DataLoader(loader.dataset, batch_sampler=[index], collate_fn=loader.collate_fn)))

    def _in_pass(self, number: int) -> int:
        """Draw the order of a pass, if it is not the last one drawn; the number of its batches."""
        if number != self._pass:
            sampler, batch_sampler = self._loader.sampler, self._loader.batch_sampler
            indices: Iterable[Any] = sampler if batch_sampler is None else batch_sampler
            with rng_kept(self._device), _seeded(getattr(sampler, "generator", None), number):
                seed_globals(number, _SAMPLING)
                self._indices = list(indices)
            self._pass = number
        return len(self._indices)


@contextmanager
def _seeded(generator: torch.Generator | None, seed: int) -> Iterator[None]:
    """Seed a sampler's own generator, and put it back on leaving."""
    if generator is None:
        yield
        return
    state = generator.get_state()
    generator.manual_seed(seed)
    try:
        yield
    finally:
        generator.set_state(state)


def held_out_loader(trainer: pl.Trainer, module: pl.LightningModule, name: str | None) -> Any:
    """The loader of the held-out batches.

    Args:
        trainer: In whose fit this is.
        module: Its module.
        name: Of the data module's method, or the module's, that returns it; None for what the Trainer validates with.

    Raises:
        InvalidArgumentError: If there is none, or several.
    """
    if name is None:
        loader = _validated_with(trainer)
    else:
        data = trainer.datamodule  # type: ignore[attr-defined]
        owners = [owner for owner in (data, module) if callable(getattr(owner, name, None))]
        if not owners:
            raise InvalidArgumentError(
                f"'held_out' is {name!r}, and neither the data module nor {type(module).__name__} has a method of this "
                "name"
            )
        loader = getattr(owners[0], name)()
    loaders = loader.flattened if isinstance(loader, CombinedLoader) else loader
    loaders = loaders if isinstance(loaders, (list, tuple)) else [] if loaders is None else [loaders]
    if len(loaders) != 1:
        raise InvalidArgumentError(
            f"hypergradients need one held-out DataLoader, and there are {len(loaders)}; name a method of the data "
            "module that returns one by 'held_out'"
        )
    return loaders[0]


def _validated_with(trainer: pl.Trainer) -> Any:
    if trainer.val_dataloaders is None:  # the first epoch does not validate
        stage = trainer.state.stage
        trainer.validating = True
        trainer.fit_loop.epoch_loop.val_loop.setup_data()
        trainer.state.stage = stage
    return trainer.val_dataloaders
