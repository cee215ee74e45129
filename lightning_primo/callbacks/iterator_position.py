"""The iterator of a DataLoader from one of an epoch's batches on, whose workers draw by a batch's number."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

from torch.utils.data import DataLoader, get_worker_info

from lightning_primo.callbacks.reproducibility import seed_globals


def iterator_from(loader: DataLoader[Any], first: int, entropy: tuple[int, ...]) -> Any:
    """The iterator of a loader from batch `first` on, whose workers draw as `entropy` and the batch's number say."""
    name = "sampler" if loader.batch_sampler is None else "batch_sampler"
    attributes = vars(loader)
    numbers = _BatchNumbers(entropy, first, max(1, loader.num_workers))
    sampler = _From(attributes[name], first)
    instead = {
        name: sampler,
        "collate_fn": _ThenSeed(attributes["collate_fn"]),
        "worker_init_fn": _SeedFirst(attributes["worker_init_fn"], numbers),
    }
    before = {key: attributes[key] for key in instead}
    attributes.update(instead)
    try:
        iterator = type(loader)._get_iterator(loader)
    finally:
        attributes.update(before)
    sampler.draw()
    return iterator


class _From:
    """A sampler without its first `n`: these are left out of the first iteration over it.

    They are drawn where its iterator is complete (a DataLoader has drawn from the same generator then), but before
    anything else is drawn.
    """

    def __init__(self, sampler: Any, n: int) -> None:
        self._sampler = sampler
        self._n = n
        self._iterator: Iterator[Any] = iter(())

    def __iter__(self) -> Iterator[Any]:
        self._iterator = iter(self._sampler)
        return self

    def __next__(self) -> Any:
        self.draw()
        return next(self._iterator)

    def draw(self) -> None:
        """Draw what is left out, unless that is done."""
        n, self._n = self._n, 0
        if n:
            next(itertools.islice(self._iterator, n - 1, n), None)

    def __len__(self) -> int:
        return len(self._sampler)


class _BatchNumbers:
    """The numbers of the batches that a worker makes, each of which it draws for from a state of its own.

    Args:
        entropy: What the states follow from, with a batch's number.
        first: The first batch of all workers.
        workers: Their number; batches go to them in turn.
    """

    def __init__(self, entropy: tuple[int, ...], first: int, workers: int) -> None:
        self._entropy = entropy
        self._next = first
        self._workers = workers

    def begin(self, worker: int) -> None:
        """In a worker: set the state for its first batch."""
        self._next += worker
        seed_globals(*self._entropy, self._next)

    def advance(self) -> None:
        """In a worker: set the state for its next batch."""
        self._next += self._workers
        seed_globals(*self._entropy, self._next)


class _SeedFirst:
    """A worker's beginning: that of the user, if there is one, and the random state of its first batch."""

    def __init__(self, begin: Callable[[int], Any] | None, numbers: _BatchNumbers) -> None:
        self._begin = begin
        self._numbers = numbers

    def __call__(self, worker: int) -> None:
        if self._begin is not None:
            self._begin(worker)
        self._numbers.begin(worker)
        _of_this_worker[:] = [self._numbers]


class _ThenSeed:
    """Puts samples together as the user has it, and sets the random state of a worker's next batch."""

    def __init__(self, collate: Callable[[Any], Any]) -> None:
        self._collate = collate

    def __call__(self, samples: Any) -> Any:
        batch = self._collate(samples)
        if get_worker_info() is not None:
            _of_this_worker[0].advance()
        return batch


_of_this_worker: list[_BatchNumbers] = []  # what a worker begins with and what it collates with are separate copies
