"""Training on a fraction of the training data: the train loaders of a module or data module with fewer samples.

What a smaller fraction has, every larger one has too, and all trials have the same: a permutation of the samples that
follows from the search's seed says which come first. Validation and test data are never cut.

A data module that cuts its data by itself has one more method:

```python
class Stream(LightningDataModule):
    def train_on(self, fraction: float) -> None:
        self.fraction = fraction
```

It is called once, after `fold` where there are folds and before `prepare_data` and `setup`, where less than all is to
be trained on; its loaders are then left as they are. What it trains on is to be the same for all trials, and a part of
what it trains on for each larger fraction.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Sequence
from fractions import Fraction
from typing import Any, Protocol, runtime_checkable

import lightning.pytorch as pl
import numpy as np
from lightning.pytorch.utilities.combined_loader import CombinedLoader
from lightning.pytorch.utilities.model_helpers import is_overridden
from torch.utils._pytree import tree_flatten, tree_unflatten
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    DistributedSampler,
    IterableDataset,
    RandomSampler,
    SequentialSampler,
    Subset,
    SubsetRandomSampler,
    WeightedRandomSampler,
)

from lightning_primo.errors import InvalidArgumentError

_HOOK = "train_dataloader"
_STREAM = 15  # of random numbers, apart from those of other uses of the seed
_REMEDY = (
    "give the data module a method train_on(self, fraction), which is called before setup and lets it train on that "
    "fraction, or count trainings in 'epochs' or 'steps'"
)


@runtime_checkable
class CutsItself(Protocol):
    """A data module that trains on a fraction of its data by itself."""

    def train_on(self, fraction: float) -> None:
        """Let a fraction of the training data be trained on; see the module's docstring.

        Args:
            fraction: More than 0 and less than 1.
        """


def train_on_fraction(
    module: pl.LightningModule, data: pl.LightningDataModule | None, fraction: Fraction, *, seed: int
) -> None:
    """Let a module be trained on a fraction of the training data, wherever its loaders come from.

    Args:
        module: About to be trained; it may have its own loaders.
        data: Its data, not set up yet; None where it has its own.
        fraction: Of the samples, rounded down. With all of them nothing is changed.
        seed: Says which samples.
    """
    if fraction == 1:
        return
    if isinstance(data, CutsItself):
        data.train_on(float(fraction))
        return
    for owner in (module, data):
        if owner is not None and is_overridden(_HOOK, owner):
            setattr(owner, _HOOK, functools.partial(_request, getattr(owner, _HOOK), fraction, seed))


def _request(request: Any, fraction: Fraction, seed: int) -> Any:
    return cut(request(), fraction, seed=seed)


def cut(loaders: Any, fraction: Fraction, *, seed: int) -> Any:
    """Train loaders with a fraction of their samples; those that are given stay as they are.

    Args:
        loaders: A `DataLoader`, several as lists, tuples and dicts, or a `CombinedLoader` of such.
        fraction: Of each one's samples, rounded down.
        seed: Says which samples.

    Raises:
        InvalidArgumentError: If one is not cut from outside, or too little would be left for a batch.
    """
    if type(loaders) is CombinedLoader:
        return CombinedLoader(cut(loaders.iterables, fraction, seed=seed), loaders._mode)
    leaves, structure = tree_flatten(loaders)
    parts = [_cut_one(loader, fraction, np.random.default_rng([seed, _STREAM, i])) for i, loader in enumerate(leaves)]
    return tree_unflatten(parts, structure)


def _cut_one(loader: Any, fraction: Fraction, rng: np.random.Generator) -> Any:
    if not isinstance(loader, DataLoader):
        raise InvalidArgumentError(f"'data' cannot cut a train loader that is a {type(loader).__name__}; {_REMEDY}")
    if isinstance(loader.dataset, IterableDataset):
        raise InvalidArgumentError(
            f"'data' cannot cut {type(loader.dataset).__name__}, an IterableDataset: nobody knows how many samples it "
            f"has; {_REMEDY}"
        )
    cutter = _Cutter(loader.dataset, fraction, rng)
    outer = loader.sampler if loader.batch_sampler is None else loader.batch_sampler
    sampler = cutter.sampler(outer)
    n_batches = len(sampler) if hasattr(sampler, "__len__") else 1
    if n_batches == 0:
        raise InvalidArgumentError(
            f"'data' asks for {fraction} of {cutter.n_samples:,} samples, which are {cutter.n_kept:,}, too few "
            f"for a batch of {getattr(outer, 'batch_size', 1):,}; choose a larger smallest fraction, or smaller batches"
        )
    # As a new loader, made by whatever arguments its class has, it would forget what was set since.
    part = copy.copy(loader)
    vars(part).update(dataset=cutter.dataset, _iterator=None)
    if loader.batch_sampler is None:
        vars(part).update(sampler=sampler)
    else:
        is_used = loader.sampler is loader.batch_sampler.sampler  # type: ignore[attr-defined]
        inner = sampler.sampler if is_used else SequentialSampler(cutter.dataset)
        vars(part).update(batch_sampler=sampler, sampler=inner)
    for name in [name for name in vars(part) if name.startswith("__pl_")]:
        del vars(part)[name]  # by which Lightning would make it again of the whole data
    return part


class _Cutter:
    """Cuts the samplers of one loader.

    Args:
        dataset: The loader's.
        fraction: Of the samples.
        rng: Says which.

    Attributes:
        dataset: The loader's, once its sampler was cut.
        n_samples: That the sampler had.
        n_kept: That it has.
    """

    def __init__(self, dataset: Any, fraction: Fraction, rng: np.random.Generator) -> None:
        self.dataset = dataset
        self._fraction = fraction
        self._rng = rng
        self.n_samples = self.n_kept = 0

    def sampler(self, sampler: Any) -> Any:
        """The same sampler of a part of the samples."""
        kind = type(sampler)
        if kind is BatchSampler:
            return BatchSampler(self.sampler(sampler.sampler), sampler.batch_size, sampler.drop_last)
        if kind is SubsetRandomSampler:
            kept = self._kept(len(sampler.indices))
            return SubsetRandomSampler([sampler.indices[i] for i in kept], generator=sampler.generator)
        if kind is WeightedRandomSampler:
            kept = self._kept(len(sampler.weights))
            self.dataset = Subset(self.dataset, kept)
            draws = sampler.num_samples * self._fraction.numerator // self._fraction.denominator
            if draws == 0:
                return SequentialSampler(())
            weights = sampler.weights[kept]
            return WeightedRandomSampler(weights.tolist(), draws, sampler.replacement, sampler.generator)
        if kind not in (RandomSampler, SequentialSampler, DistributedSampler):
            raise InvalidArgumentError(
                f"'data' cannot cut a train loader whose samples are chosen by a {kind.__name__}, as it alone knows "
                f"how; {_REMEDY}"
            )
        whole: Any = sampler.dataset if kind is DistributedSampler else sampler.data_source
        self.dataset = Subset(self.dataset, self._kept(len(whole)))
        if kind is SequentialSampler or not self.n_kept:
            return SequentialSampler(self.dataset)
        if kind is DistributedSampler:
            names = ("num_replicas", "rank", "shuffle", "seed", "drop_last")
            return DistributedSampler(self.dataset, **{name: getattr(sampler, name) for name in names})
        draws = sampler._num_samples
        if draws is not None:
            draws = max(1, draws * self._fraction.numerator // self._fraction.denominator)
        return RandomSampler(self.dataset, sampler.replacement, draws, sampler.generator)

    def _kept(self, n_samples: int) -> Sequence[int]:
        """The places of the samples that are kept, in their order."""
        self.n_samples = n_samples
        self.n_kept = n_samples * self._fraction.numerator // self._fraction.denominator
        kept: list[int] = np.sort(self._rng.permutation(n_samples)[: self.n_kept]).tolist()
        return kept
