"""Searches on handwritten digits with a bound on what is trained, known to the algorithm or filtered afterwards."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.perceptron import Perceptron, perceptron_space
from datamodules import Digits
from lightning_primo import Metric, ParameterCount, Search
from lightning_primo.algorithms import Algorithm
from lightning_primo.pareto import hypervolume, non_dominated

Array = npt.NDArray[np.float64]

_LEAST_RECALL = 0.85
_ANY_RECALL = -1.0  # a bound that everything keeps: the recall is recorded, and nothing is made of it
_EPOCHS = 9
_REFERENCE = {"val_error": 0.5, "parameters": 1e5}


@dataclass(frozen=True)
class Searched:
    """What a search trained fully.

    Attributes:
        losses: Error and the logarithm of the parameters, `n x 2`.
        feasible: Which kept the bound, `n`.
    """

    losses: Array
    feasible: npt.NDArray[np.bool_]

    @property
    def kept(self) -> Array:
        """The losses of what kept the bound, `k x 2`."""
        return self.losses[self.feasible]


def compare(
    algorithms: Sequence[tuple[str, Callable[[], Algorithm], Sequence[str]]], *, seeds: int, full_trainings: float
) -> Iterator[tuple[str, str, Array, float]]:
    """The hypervolumes of the feasible fronts, as shares of that of all searches together.

    Args:
        algorithms: Each one's name, how it is made, and how it is run: ``"known"``, ``"filtered"`` or both.
        seeds: Searches of each.
        full_trainings: Budget of each.

    Yields:
        Name, how it was run, shares by seed, and the share of full trainings that kept the bound.
    """
    runs = {
        (name, label): [_search(make(), label == "known", seed, full_trainings) for seed in range(seeds)]
        for name, make, labels in algorithms
        for label in labels
    }
    kept = np.concatenate([run.kept for each in runs.values() for run in each])
    reference = np.array([_REFERENCE["val_error"], np.log10(_REFERENCE["parameters"])])
    whole = hypervolume(kept[non_dominated(kept)], reference)
    for (name, label), each in runs.items():
        shares = np.array([hypervolume(run.kept, reference) for run in each]) / whole
        yield name, label, shares, float(np.mean([run.feasible.mean() for run in each]))


def _search(algorithm: Algorithm, known: bool, seed: int, full_trainings: float) -> Searched:
    at_least = _LEAST_RECALL if known else _ANY_RECALL
    with tempfile.TemporaryDirectory() as folder:
        search = Search(
            perceptron_space(),
            module=Perceptron,
            datamodule=Digits(batch_size=64),
            objectives=[
                Metric("val_error", reference=_REFERENCE["val_error"]),
                ParameterCount(reference=_REFERENCE["parameters"]),
            ],
            constraints=[Metric("worst_recall", mode="max", at_least=at_least)],
            epochs=(1, _EPOCHS),
            algorithm=algorithm,
            directory=Path(folder) / "search",
            trainer={"accelerator": "cpu", "logger": False},
            seed=seed,
        )
        table = search.run(full_trainings=full_trainings, progress=False, report=False).to_pandas()
    full = table[(table["epoch"] == _EPOCHS) & (table["status"] == "ok")]
    losses = np.stack([full["val_error"], np.log10(full["parameters"])], axis=1).astype(np.float64)
    return Searched(losses, (full["worst_recall"] >= _LEAST_RECALL).to_numpy())
