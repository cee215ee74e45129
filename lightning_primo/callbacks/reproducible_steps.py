"""The same for trainings that go on inside an epoch: the data go on with the batch that would have been next.

Where a training goes on from a checkpoint of batch `k` of an epoch, the random state of the epoch's start is set again,
so that the sampler draws what it has drawn, and its first `k` batches of indices are left out: nothing of them is
loaded. What a worker draws for a batch depends on the seed, the epoch and the batch's number alone.
"""

from __future__ import annotations

import copy
import functools
import itertools
from collections.abc import Mapping
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.loops.fetchers import _DataLoaderIterDataFetcher
from lightning.pytorch.utilities import rank_zero_warn
from lightning.pytorch.utilities.combined_loader import CombinedLoader
from torch.utils.data import DataLoader, IterableDataset
from typing_extensions import override

from lightning_primo.callbacks.after_validation import after_validations, no_more_after_validations
from lightning_primo.callbacks.iterator_position import iterator_from
from lightning_primo.callbacks.reproducibility import ReproducibleEpochs
from lightning_primo.errors import InvalidArgumentError, RepeatedDataWarning

_BATCH = 6  # a stream of random numbers, apart from those of ReproducibleEpochs

_MIXED = (
    "of several train loaders some have a state and some have none, so that a training by steps could not go on with "
    "all of them where it was: give all a state (torchdata's StatefulDataLoader), or none"
)


class ReproducibleSteps(ReproducibleEpochs):
    """Makes training to step a, a checkpoint, and training on to c equal to training to c, bit for bit, inside epochs.

    The checkpoint is one that was written in a validation. How the train data go on where they were:

    - a DataLoader with a state (``state_dict`` and ``load_state_dict``, such as `torchdata`'s `StatefulDataLoader`) by
      that, which Lightning keeps in the checkpoint;
    - a DataLoader of a dataset with indices, with any number of workers, by its sampler, and nothing is loaded twice;
    - all else, such as an `IterableDataset`, several loaders at a time or a DataLoader with an ``__iter__`` of its own,
      by loading the batches that were trained already once more and throwing them away. That is exact where the same
      stream comes again: what it draws in this process from the global generators does not, and of data that go by only
      once other ones follow. A RepeatedDataWarning says so.

    Of a sampler without a length a batch is loaded ahead of the validation: with ``num_workers=0``, what it draws from
    the global generators does not repeat.

    What a module keeps of an epoch in attributes that are in no checkpoint, as the mean of a training metric, begins
    anew.

    Args:
        seed: A whole number from 0 to 2**64 - 1.

    Raises:
        InvalidArgumentError: If `seed` is none; in a Trainer, for a `training_step` that takes an iterator of the data.
    """

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self._progress: Mapping[str, int] = {}
        self._expected = 0
        self._several = False
        self._read_again = False
        self._positioned: list[DataLoader[Any]] = []
        self._states: tuple[list[dict[str, Any]], ...] = ()

    @override
    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        super().setup(trainer, pl_module, stage)
        if stage != "fit":
            return
        self._progress, self._expected, self._read_again = {}, 0, False
        strategy: Any = trainer.strategy
        process = strategy.process_dataloader

        @functools.wraps(process)
        def process_and_position(loader: Any) -> Any:
            loader = process(loader)
            if self._expected > 0:
                self._expected -= 1
                self._position(loader, trainer)
            return loader

        strategy.process_dataloader = process_and_position
        # Behind whatever draws random numbers where a validation ends, once more.
        after_validations(trainer, functools.partial(self.on_validation_end, trainer, pl_module))

    @override
    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        super().on_load_checkpoint(trainer, pl_module, checkpoint)
        loops = checkpoint["loops"]["fit_loop"]
        epoch = loops["epoch_progress"]["current"]
        if epoch["ready"] > epoch["processed"]:
            self._progress = loops["epoch_loop.batch_progress"]["current"]

    @property
    def _resumed_batches(self) -> int:
        """Batches of the epoch that the checkpoint has trained; the recorder may count them anew while it is loaded."""
        return self._progress.get("completed", 0)

    @override
    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        fetcher: Any = trainer.fit_loop._data_fetcher
        if isinstance(fetcher, _DataLoaderIterDataFetcher):
            raise InvalidArgumentError(
                f"'training_step' of {type(pl_module).__name__} takes an iterator of the data, of which nobody knows "
                "how far it has come, so that a training by steps could not go on; let it take a batch"
            )
        if self._read_again:
            self.seed_epoch(trainer, self._resumed_epoch)
            _warn_of_reading_again()
            for _ in itertools.takewhile(lambda _: not fetcher.done, range(self._resumed_batches)):
                next(fetcher)
            fetcher.fetched -= self._resumed_batches  # which Lightning adds
        super().on_train_start(trainer, pl_module)
        if self._resumed_batches:
            # As after the validation in which the checkpoint was written.
            self.seed_after_validation(trainer, self._resumed_epoch, self._resumed_batches)

        self._states = _states(trainer)[-1:]

    @override
    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self._states = (*self._states[-1:], *_states(trainer))

    @override
    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        if self._states:
            # As before the batch that is fetched ahead, which this training is yet to come to.
            checkpoint["loops"]["fit_loop"]["state_dict"]["combined_loader"] = self._states[0]

    @override
    def _restore(self, trainer: pl.Trainer) -> None:
        super()._restore(trainer)
        vars(trainer.strategy).pop("process_dataloader", None)
        no_more_after_validations(trainer)
        for loader in self._positioned:
            vars(loader).pop("_get_iterator", None)
        self._positioned.clear()

    @override
    def _attach(self, loaders: Any, *, shared_out: bool = False) -> None:
        super()._attach(loaders, shared_out=shared_out)
        combined = loaders if isinstance(loaders, CombinedLoader) else CombinedLoader(loaders)
        self._expected = len(combined.flattened)
        self._several = self._expected > 1

    def _position(self, loader: Any, trainer: pl.Trainer) -> None:
        """Let a train loader begin where it is to go on."""
        has_state = hasattr(loader, "state_dict") and hasattr(loader, "load_state_dict")
        if has_state and self._several and self._resumed_batches and self._read_again:
            raise InvalidArgumentError(_MIXED)
        if has_state:
            return
        if self._several or not has_positions(loader):
            self._read_again = self._resumed_batches > 0
            return

        def positioned() -> Any:
            epoch = self._next_epoch(trainer)
            first = self._resumed_batches if epoch == self._resumed_epoch else 0
            return iterator_from(loader, first, (self.seed, _BATCH, trainer.global_rank, epoch))

        vars(loader)["_get_iterator"] = positioned
        self._positioned.append(loader)


def has_positions(loader: Any) -> bool:
    """Whether the batches of a loader follow from its sampler, with nothing in between."""
    by_sampler = isinstance(loader, DataLoader) and type(loader).__iter__ is DataLoader.__iter__
    return by_sampler and not isinstance(loader.dataset, IterableDataset)


def _states(trainer: pl.Trainer) -> tuple[list[dict[str, Any]], ...]:
    """The states of train loaders of which a batch is fetched ahead, as it may be the last; or none."""
    combined: Any = trainer.fit_loop._combined_loader
    ahead = combined is not None and trainer.num_training_batches == float("inf")
    states = combined._state_dicts() if ahead else []
    return (copy.deepcopy(states),) if states else ()


@functools.cache
def _warn_of_reading_again() -> None:
    rank_zero_warn(
        "the train data are no single DataLoader with an indexed dataset and without an __iter__ of its own, and have "
        "no state that a checkpoint could keep, so that a training that goes on inside an epoch loads the batches that "
        "it has trained on once more and throws them away: exact where the same stream comes again, and otherwise with "
        "other data than an uninterrupted training; a loader with state_dict and load_state_dict, such as torchdata's "
        "StatefulDataLoader, goes on where it was",
        category=RepeatedDataWarning,
    )
