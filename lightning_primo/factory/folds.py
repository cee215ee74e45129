"""How a data module says how its data are split for k-fold cross-validation.

A data module that knows folds has one more method:

```python
class Points(LightningDataModule):
    def fold(self, i: int, k: int) -> None:
        self.i, self.k = i, k
```

It is called once, before `prepare_data` and `setup`, with the fold to validate on, `0 <= i < k`. From then on the
validation data are the `i`-th of `k` parts of what would otherwise be split into training and validation data, and the
training data are the other `k - 1` parts. What is to hold:

- The `k` parts are disjoint, and together they are all of those data; so every sample is validated on once.
- They are the same parts for each `i`. What is drawn at random may be drawn from the global generators of torch, numpy
  and random, which are seeded alike before each call within a search, or from a seed of the data module's own.
- The test data are the same for each `i`, and in none of the parts.
- What is computed of the training data, such as the mean that they are normalised by, is computed of the `k - 1` parts.

A data module on which it was not called splits its data as ever.
"""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

from lightning_primo.errors import InvalidArgumentError
from lightning_primo.factory.loaders import LoadersDataModule

_REMEDY = (
    "give it a method fold(self, i, k), which is called before setup and makes the i-th of k parts the validation data "
    "and the others the training data, or wrap a plain dataset: KFoldData(dataset, batch_size=...)"
)


@runtime_checkable
class Folding(Protocol):
    """A data module that knows folds."""

    def fold(self, i: int, k: int) -> None:
        """Let the data be split so that the `i`-th of `k` parts is validated on; see the module's docstring.

        Args:
            i: Which part is validated on, from 0.
            k: In how many parts the data are split, at least 2.
        """


def check_folding(data: Any) -> None:
    """Raise unless what is given as a search's `datamodule` may know folds; of a function only a call can tell.

    Raises:
        InvalidArgumentError: If it can't.
    """
    if data is None:
        raise InvalidArgumentError(
            "'folds' needs a data module, and 'datamodule' is None: the module has loaders of its own, which cannot be "
            f"split from outside; {_REMEDY}"
        )
    made = getattr(data, "func", data)  # of a functools.partial
    if isinstance(made, type) or not callable(made):
        _require(made, made if isinstance(made, type) else type(made))


def choose_fold(data: Any, i: int, k: int) -> None:
    """Let a data module validate on the `i`-th of `k` folds.

    Raises:
        InvalidArgumentError: If it does not know folds.
    """
    _require(data, type(data))
    data.fold(i, k)


def _require(data: Any, made: type) -> None:
    if callable(getattr(data, "fold", None)):
        return
    if issubclass(made, (LoadersDataModule, dict, tuple, list)):
        raise InvalidArgumentError(f"'folds' cannot split 'datamodule', which is dataloaders that are made; {_REMEDY}")
    raise InvalidArgumentError(f"'folds' cannot split 'datamodule': {made.__name__} has no method 'fold'; {_REMEDY}")
