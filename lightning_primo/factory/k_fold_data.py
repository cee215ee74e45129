"""A plain dataset as a data module that knows folds."""

from __future__ import annotations

from collections.abc import Mapping, Sized
from typing import Any

import lightning.pytorch as pl
import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset, Subset
from typing_extensions import override

from lightning_primo.checks import check_mapping, check_whole, shown
from lightning_primo.errors import InvalidArgumentError

_FOLDS = 5  # of which the first is validated on where nobody has chosen another

_OWN = ("dataset", "batch_size", "num_workers", "shuffle", "sampler", "batch_sampler")


class KFoldData(pl.LightningDataModule):
    """Splits a map-style dataset into folds, one of which is validated on while the others are trained on.

    Within a search, ``Search(..., folds=5)`` chooses them; elsewhere ``fold(i, k)`` does, and it is the first of five
    where nobody does. The batch size can be searched over: ``datamodule=partial(KFoldData, dataset, labels=labels)``.

    Args:
        dataset: What is trained and validated on, `n` samples, as they come from its ``__getitem__``.
        labels: `n` class indices; every fold then has the classes in the proportions of the whole. None for folds that
            are drawn without regard to that.
        test: A dataset that no fold has anything of, for `Result.test`; None for none.
        batch_size: Samples per batch.
        seed: Of the split. Default: drawn from torch's global generator when `fold` is called, which in a search
            follows from the search's seed and is the same for all trials.
        num_workers: Processes that load the data.
        loader: Further arguments of every DataLoader, such as ``{"collate_fn": pad, "pin_memory": True}``.

    Raises:
        InvalidArgumentError: If the dataset is a stream or without a length, the labels are not as many, or `loader`
            sets what is set here.
    """

    def __init__(
        self,
        dataset: Dataset[Any],
        *,
        labels: Any = None,
        test: Dataset[Any] | None = None,
        batch_size: int = 32,
        seed: int | None = None,
        num_workers: int = 0,
        loader: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        if isinstance(dataset, IterableDataset) or not isinstance(dataset, Sized):
            raise InvalidArgumentError(
                f"'dataset' must have a length and be read by an index to be split into folds, {shown(dataset)} can't: "
                "give a map-style dataset, or write a data module with a method fold(self, i, k) that splits it"
            )
        self.dataset = dataset
        self.labels = None if labels is None else _checked(labels, len(dataset))
        self.test = test
        self.batch_size = check_whole("batch_size", batch_size, least=1)
        self.seed = None if seed is None else check_whole("seed", seed, least=0)
        self.num_workers = check_whole("num_workers", num_workers, least=0)
        self.loader = check_mapping("loader", loader, "the names of DataLoader's arguments to values")
        for name in self.loader:
            if name in _OWN:
                raise InvalidArgumentError(f"'loader' must not set {name!r}, which KFoldData sets itself")
        self._fold, self._n_folds = 0, min(_FOLDS, len(dataset))
        self._drawn = 0 if self.seed is None else self.seed
        if test is None:
            self.test_dataloader = None  # type: ignore[assignment]  # so that Lightning sees that there is none

    def fold(self, i: int, k: int) -> None:
        """Validate on the `i`-th of `k` folds, from 0, and train on the others.

        Raises:
            InvalidArgumentError: If there are fewer samples than folds, fewer than 2 folds, or no such one.
        """
        n = len(self.dataset)
        check_whole("k", k, least=2, most=n)
        check_whole("i", i, least=0, most=k - 1)
        self._fold, self._n_folds = i, k
        self._drawn = int(torch.randint(2**31 - 1, ())) if self.seed is None else self.seed

    @property
    def parts(self) -> list[npt.NDArray[np.int64]]:
        """The sorted indices of each fold; their sizes, and within each class the numbers, differ by 1 at most."""
        n = len(self.dataset)
        order = np.random.default_rng([self._drawn, self._n_folds]).permutation(n)
        if self.labels is not None:
            order = order[np.argsort(self.labels[order], kind="stable")]  # dealt out class by class
        return [np.sort(order[number :: self._n_folds]) for number in range(self._n_folds)]

    @override
    def train_dataloader(self) -> DataLoader[Any]:
        """Batches of all folds but the one that is validated on, shuffled."""
        others = [part for number, part in enumerate(self.parts) if number != self._fold]
        return self._loader(self._subset(np.sort(np.concatenate(others))), shuffle=True)

    @override
    def val_dataloader(self) -> DataLoader[Any]:
        """Batches of the fold that is validated on."""
        return self._loader(self._subset(self.parts[self._fold]), shuffle=False)

    @override
    def test_dataloader(self) -> DataLoader[Any]:
        """Batches of the test data.

        Raises:
            InvalidArgumentError: If there are none.
        """
        if self.test is None:
            raise InvalidArgumentError("there are no test data: give KFoldData(..., test=dataset)")
        return self._loader(self.test, shuffle=False)

    def _subset(self, indices: npt.NDArray[np.int64]) -> Subset[Any]:
        return Subset(self.dataset, indices.tolist())

    def _loader(self, dataset: Dataset[Any], *, shuffle: bool) -> DataLoader[Any]:
        return DataLoader(
            dataset, batch_size=self.batch_size, shuffle=shuffle, num_workers=self.num_workers, **self.loader
        )


def _checked(labels: Any, n: int) -> npt.NDArray[Any]:
    array = np.asarray(labels)
    if array.shape != (n,):
        raise InvalidArgumentError(
            f"'labels' must be one per sample of 'dataset', {n}, got {shown(labels)} of the shape {array.shape}"
        )
    return array
