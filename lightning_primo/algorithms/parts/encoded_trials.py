"""The vectors of a search's configurations, and which configurations are taken."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from lightning_primo.problem.trial import Trial
from lightning_primo.space import Encoding

Array = npt.NDArray[np.float64]


class EncodedTrials:
    """Encodes each trial's configuration once; many at once when a search is restored.

    Args:
        encoding: Of the space.
        trials: The search's, which grows; numbered by their ids.
        max_epochs: The full budget.
    """

    def __init__(self, encoding: Encoding, trials: Sequence[Trial], max_epochs: int) -> None:
        self._encoding = encoding
        self._trials = trials
        self._max_epochs = max_epochs
        self._vectors = np.empty((0, len(encoding.names)))  # of the first trials, those whose keys are taken
        self._keys: set[str] = set()

    def bring_up_to_date(self) -> None:
        """Encode the configurations that came in."""
        new = self._trials[len(self._vectors) :]
        if new:
            vectors = self._encoding.vectors([trial.config for trial in new])
            self._vectors = np.concatenate([self._vectors, vectors])
            taken = [trial.takes_its_configuration(self._max_epochs) for trial in new]
            self._keys.update(self._encoding.keys_of(vectors[taken]))

    def vectors(self, trials: Iterable[Trial]) -> Array:
        """The vectors of some trials' configurations, `n x h`."""
        self.bring_up_to_date()
        return self._vectors[[trial.id for trial in trials]]

    def unseen(self, keys: Iterable[str]) -> list[str]:
        """Those of some configurations' keys that no trial has, each once."""
        self.bring_up_to_date()
        return [key for key in dict.fromkeys(keys) if key not in self._keys]
