"""Random numbers that depend on the seed and the epoch alone, so that a resumed training equals an uninterrupted one.

What a training draws comes from four places: the global generators of torch, NumPy and Python, and the DataLoader,
whose sampler and workers are seeded once per epoch. All four are set from ``(seed, epoch)`` where an epoch starts,
whichever epochs came before it in the same process. A checkpoint then needs no random state.
"""

from __future__ import annotations

import functools
import random
from collections.abc import Iterator
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities import rank_zero_warn
from lightning.pytorch.utilities.combined_loader import CombinedLoader
from torch.utils.data import DataLoader
from typing_extensions import override

from lightning_primo.callbacks.loader_epochs import as_of_epoch, train_loaders_made_in, validation_loaders_made_in
from lightning_primo.checks import LARGEST_SEED, check_whole
from lightning_primo.measure.isolation import rng_kept

# Separate streams of random numbers. None is 0, as a SeedSequence does not tell trailing zeros from nothing.
_MAKE_LOADER, _EPOCH, _LOADER, _AFTER_VALIDATION, _SET_UP = range(1, 6)
_MAKE_VALIDATION_LOADER = 7  # 6 is of the batches of ReproducibleSteps
_ALL_RANKS = 0  # in the place of the rank, where all must draw alike


def seed_globals(*entropy: int) -> None:
    """Seed the global generators of torch, NumPy and Python from non-negative integers, mixed by a SeedSequence."""
    torch_seed, python_seed = np.random.SeedSequence(entropy).generate_state(2, np.uint64)
    # Where there is no device to seed, all that torch.manual_seed adds are notes of who asked, at a millisecond a call.
    seed_torch = torch.manual_seed if torch.accelerator.is_available() else torch.default_generator.manual_seed
    seed_torch(int(torch_seed))
    random.seed(int(python_seed))
    np.random.seed(np.random.SeedSequence(entropy).generate_state(8, np.uint32))  # noqa: NPY002


class ReproducibleEpochs(Callback):
    """Makes training from epoch a to c equal to training to b, a checkpoint, and training on to c, bit for bit.

    Give it in the Trainer of both trainings, with the same seed. It replaces the generators of the train loaders and of
    their samplers by one of its own while the fit lasts, and seeds the global generators at the start of each epoch and
    after each validation: what validation draws has no influence on the training. A split that ``val_dataloader`` draws
    from the global generators is the same whichever epoch a training begins at. Loaders are those of an uninterrupted
    training too: ``reload_dataloaders_every_n_epochs`` counts from the first epoch, and ``trainer.current_epoch``
    is, where a loader is made, the epoch in which that was made.

    It works with any number of workers, nested loaders, and samplers of indices or of batches. Workers are started anew
    for each epoch: ``persistent_workers=True`` of a train loader does not hold while the fit lasts, of which it warns
    once. What it can't make repeat are data sets and samplers with a random state of their own: a search carries it on.

    Args:
        seed: A whole number from 0 to 2**64 - 1.

    Raises:
        InvalidArgumentError: If `seed` is none.
    """

    def __init__(self, seed: int) -> None:
        self.seed = check_whole("seed", seed, least=0, most=LARGEST_SEED)
        self._generator = torch.Generator()
        self._of_all_ranks = torch.Generator()  # of samplers that each rank runs in full, to take its share
        self._resumed_epoch = 0
        self._first_epoch: int | None = None
        self._prefetched: tuple[Any, ...] | None = None
        self._begun: tuple[torch.Tensor, ...] = ()
        self._replaced: list[tuple[Any, torch.Generator | None]] = []
        self._persistent: list[DataLoader[Any]] = []

    @override
    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        if stage != "fit":
            return
        self._resumed_epoch, self._first_epoch, self._prefetched, self._begun = 0, None, None, ()
        # The data module was set up before, with whatever state it found; layers may be made after.
        # The same on all ranks: a split that the module draws in its `setup` must be.
        seed_globals(self.seed, _SET_UP)
        self._seed_where_train_loaders_are_made(trainer)
        self._seed_where_validation_loaders_are_made(trainer)

    @override
    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        self._resumed_epoch = checkpoint["loops"]["fit_loop"]["epoch_progress"]["current"]["processed"]

    @override
    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        # Where a training goes on, Lightning takes the loaders for those of the epoch before.
        trainer.fit_loop._last_train_dl_reload_epoch = train_loaders_made_in(trainer, self._next_epoch(trainer))
        # Of a loader without a length, the first batch has been fetched by now to see whether it is the last one.
        if trainer.num_training_batches == float("inf"):
            numpy_state = np.random.get_state()  # noqa: NPY002
            self._prefetched = (torch.get_rng_state(), numpy_state, random.getstate())
        self._begun = tuple(generator.get_state() for generator in (self._generator, self._of_all_ranks))

    @override
    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        epoch = self._next_epoch(trainer)
        if epoch == self._first_epoch and goes_on_between_epochs(trainer, self._resumed_epoch):
            # The iterator of the loader is made once more, behind the hooks that may change data where an epoch begins,
            # as in a training that never stopped.
            trainer.fit_loop._resuming_from_checkpoint = False
            self._first_epoch = None
        if epoch != self._first_epoch:
            self._seed(trainer, epoch)
            return
        # The iterator of the loader exists by now. Hooks that begin a training may have had another one of it, to look
        # at a batch, in whichever epoch the training begins.
        for generator, state in zip((self._generator, self._of_all_ranks), self._begun, strict=False):
            generator.set_state(state)
        if self._prefetched is not None:
            torch_state, numpy_state, python_state = self._prefetched
            torch.set_rng_state(torch_state)
            np.random.set_state(numpy_state)  # noqa: NPY002
            random.setstate(python_state)
        else:
            self.seed_epoch(trainer, epoch)

    @override
    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.state.fn == TrainerFn.FITTING and not trainer.sanity_checking:
            self.seed_after_validation(trainer, self._next_epoch(trainer), trainer.fit_loop.batch_idx + 1)

    @override
    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        self._restore(trainer)

    @override
    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        self._restore(trainer)

    def seed_epoch(self, trainer: pl.Trainer, epoch: int) -> None:
        """Seed the global generators as where an epoch starts.

        Args:
            trainer: That trains.
            epoch: Counted from 0.
        """
        seed_globals(self.seed, _EPOCH, trainer.global_rank, epoch)

    def seed_after_validation(self, trainer: pl.Trainer, epoch: int, batches: int) -> None:
        """Seed the global generators as after a validation.

        Args:
            trainer: That trains.
            epoch: Counted from 0.
            batches: Of the epoch, that come before the validation.
        """
        seed_globals(self.seed, _AFTER_VALIDATION, trainer.global_rank, epoch, batches)

    def _seed_where_train_loaders_are_made(self, trainer: pl.Trainer) -> None:
        # Where Lightning asks for the train loaders, be they made by a method or given to fit. The module's
        # configure_optimizers can cause this before the training's state is restored (estimated_stepping_batches).
        source = trainer.fit_loop._data_source
        vars(source).pop("dataloader", None)
        request = source.dataloader

        @functools.wraps(request)
        def request_and_seed() -> Any:
            epoch = self._next_epoch(trainer)
            made = train_loaders_made_in(trainer, epoch)
            self._seed_making(trainer, _MAKE_LOADER, made)
            with as_of_epoch(trainer, made):
                loaders = request()
            self._attach(loaders, shared_out=_are_shared_out(trainer))
            self._seed(trainer, epoch)
            if self._first_epoch is None:
                self._first_epoch = epoch
            return loaders

        source.dataloader = request_and_seed  # type: ignore[method-assign]

    def _seed_where_validation_loaders_are_made(self, trainer: pl.Trainer) -> None:
        # Lightning asks for them at the first validation of a fit, whichever epoch that is of.
        loop = trainer.fit_loop.epoch_loop.val_loop
        source = loop._data_source
        vars(source).pop("dataloader", None)
        request = source.dataloader

        @functools.wraps(request)
        def seed_and_request() -> Any:
            epoch = max(trainer.current_epoch, self._resumed_epoch)
            made = validation_loaders_made_in(trainer, epoch)
            if epoch > 0 or not trainer.sanity_checking:
                loop._last_val_dl_reload_epoch = made
            with rng_kept(trainer.strategy.root_device), as_of_epoch(trainer, made):
                self._seed_making(trainer, _MAKE_VALIDATION_LOADER, made)
                return request()

        source.dataloader = seed_and_request  # type: ignore[method-assign]

    def _seed_making(self, trainer: pl.Trainer, stream: int, epoch: int) -> None:
        # A random split drawn where a loader is made must be the same in every fit, unless it is made anew every few
        # epochs in order to change.
        is_remade = bool(trainer.reload_dataloaders_every_n_epochs)  # type: ignore[attr-defined]
        seed_globals(self.seed, stream, _ALL_RANKS, epoch if is_remade else 0)

    def _next_epoch(self, trainer: pl.Trainer) -> int:
        """Index of the epoch that is about to be trained, also before the checkpoint's state is restored."""
        trained: int = trainer.fit_loop.epoch_progress.current.processed  # type: ignore[attr-defined]
        return max(trained, self._resumed_epoch)

    def _seed(self, trainer: pl.Trainer, epoch: int) -> None:
        self.seed_epoch(trainer, epoch)
        for generator, rank in ((self._generator, trainer.global_rank), (self._of_all_ranks, _ALL_RANKS)):
            words = np.random.SeedSequence((self.seed, _LOADER, rank, epoch)).generate_state(1, np.uint64)
            generator.manual_seed(int(words[0]))

    def _attach(self, loaders: Any, *, shared_out: bool = False) -> None:
        for_samplers = self._of_all_ranks if shared_out else self._generator
        combined = loaders if isinstance(loaders, CombinedLoader) else CombinedLoader(loaders)
        for loader in combined.flattened:
            owners = [(sampler, for_samplers) for sampler in _samplers(loader)]
            if isinstance(loader, DataLoader):
                owners.append((loader, self._generator))
                if loader.num_workers > 0 and loader.persistent_workers:
                    _warn_of_persistent_workers()
                    vars(loader)["persistent_workers"] = False  # which an assignment refuses
                    self._persistent.append(loader)
            for owner, generator in owners:
                if hasattr(owner, "generator") and owner.generator is not generator:
                    self._replaced.append((owner, owner.generator))
                    owner.generator = generator

    def _restore(self, trainer: pl.Trainer) -> None:
        for source in (trainer.fit_loop._data_source, trainer.fit_loop.epoch_loop.val_loop._data_source):
            vars(source).pop("dataloader", None)
        for owner, generator in self._replaced:
            owner.generator = generator
        self._replaced.clear()
        for loader in self._persistent:
            vars(loader)["persistent_workers"] = True
        self._persistent.clear()


def goes_on_between_epochs(trainer: pl.Trainer, epoch: int) -> bool:
    """Whether a training goes on from a checkpoint where an epoch begins, of which Lightning has an iterator already.

    Args:
        trainer: That trains.
        epoch: That it goes on with, counted from 0.
    """
    return epoch > 0 and not trainer.fit_loop.restarting and not trainer.fit_loop.epoch_loop.restarting


def _are_shared_out(trainer: pl.Trainer) -> bool:
    """Whether Lightning lets each rank take a share of what the samplers draw, so that all must draw the same."""
    return trainer.world_size > 1 and bool(trainer._accelerator_connector.use_distributed_sampler)


def _samplers(loader: Any) -> Iterator[Any]:
    """The samplers of `loader`; a sampler of batches holds another one."""
    pending, seen = [loader], {id(loader), id(None)}
    while pending:
        owner = pending.pop()
        for name in ("batch_sampler", "sampler"):
            sampler = getattr(owner, name, None)
            if id(sampler) not in seen:
                seen.add(id(sampler))
                pending.append(sampler)
                yield sampler


@functools.cache
def _warn_of_persistent_workers() -> None:
    rank_zero_warn(
        "the train DataLoader has 'persistent_workers=True', which does not hold in this training: its workers would "
        "keep random states that no checkpoint holds, so they are started anew for each epoch; set it to False"
    )
