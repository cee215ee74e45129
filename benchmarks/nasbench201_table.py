"""NAS-Bench-201's table (Dong and Yang 2020, arXiv 2001.00326) as a problem that is searched without training.

The table is an `.npz` file with one row per cell, 15,625 in all, and these arrays:

| array | shape | what |
|---|---|---|
| `op_names` | 5 | the operations |
| `ops` | n x 6 | a cell: indices into `op_names`, edges in the order 0->1, 0->2, 1->2, 0->3, 1->3, 2->3 |
| `datasets` | d | names, among them `cifar10` |
| `val_acc_12` | n x d | validation accuracy in percent of a training of 12 epochs |
| `val_acc_200` | n x d x s | the same of trainings of 200 epochs with up to s seeds, NaN where there are fewer |
| `flops_M`, `params_formula_M` | n | millions of multiply-adds and of parameters |
| `help_devices`, `help_latency_ms` | k; n x k | devices, and the latencies measured on them (HELP, Lee et al. 2021) |
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from lightning_primo import Algorithm, Prior, Result
from lightning_primo.errors import InvalidArgumentError, UnknownNameError
from lightning_primo.factory import Factory
from lightning_primo.pareto import hypervolume, non_dominated
from lightning_primo.problem import Problem
from lightning_primo.problem.objective import Kind, Objective
from lightning_primo.problem.trial import Config, Evaluation, Proposal
from lightning_primo.testing.problems import drive, evaluator
from models.nas_bench_201 import EDGE_NAMES, OPERATIONS, NASBench201Classifier, nas_bench_201_space

Array = npt.NDArray[np.float64]

EPOCHS = (12, 200)
"""The trainings that the table holds."""

ETA = 17
"""The halving factor with rungs at these epochs and no others: 200 / 17 is 12, rounded."""

DATASET = "cifar10"
CHANCE_ERROR = 0.9
"""Error of guessing on CIFAR-10."""

_ACCURATE = Prior(dict.fromkeys(EDGE_NAMES, "nor_conv_3x3") | {"edge_0_3": "skip_connect"}, confidence=0.5)
_CHEAP = Prior(dict.fromkeys(EDGE_NAMES, "skip_connect"), confidence=0.5)

_ARRAYS = (
    *("op_names", "ops", "datasets", "val_acc_12", "val_acc_200", "flops_M", "params_formula_M"),
    *("help_devices", "help_latency_ms"),
)


@dataclass(frozen=True, kw_only=True, eq=False)
class NASBench201Table:
    """The cells and what is known of each; all columns have one entry per cell, `n` in all.

    Args:
        cells: `n x 6` indices into `OPERATIONS`, edges in the order of `EDGE_NAMES`.
        error_12: Validation error on CIFAR-10 in [0, 1] of the training of 12 epochs.
        error_200: The same of the trainings of 200 epochs, the mean over their seeds (2 or 3).
        flops: Multiply-adds for one image, as the table has them: those of `count_flops` and 10 more, the additions of
            the last layer's bias, rounded to 7 digits.
        parameters: Number of parameters.
        latencies: Per device the latency, in the table's milliseconds; not comparable between devices.
    """

    cells: npt.NDArray[np.int64]
    error_12: Array
    error_200: Array
    flops: Array
    parameters: Array
    latencies: Mapping[str, Array]

    @classmethod
    def load(cls, path: str | Path) -> NASBench201Table:
        """Read the file described at the top of this module.

        Raises:
            InvalidArgumentError: If there is no such file, or it holds something else.
        """
        arrays = _read(Path(path))
        data = [str(name) for name in arrays["datasets"]].index(DATASET)
        latencies = arrays["help_latency_ms"].astype(np.float64)
        return cls(
            cells=arrays["ops"].astype(np.int64),
            error_12=1 - arrays["val_acc_12"][:, data].astype(np.float64) / 100,
            error_200=1 - np.nanmean(arrays["val_acc_200"][:, data].astype(np.float64), axis=1) / 100,
            flops=np.rint(arrays["flops_M"].astype(np.float64) * 1e6),
            parameters=np.rint(arrays["params_formula_M"].astype(np.float64) * 1e6),
            latencies={str(name): latencies[:, k] for k, name in enumerate(arrays["help_devices"])},
        )

    def row(self, config: Config) -> int:
        """The row of a configuration of `nas_bench_201_space`."""
        return self._rows[tuple(str(config[name]) for name in EDGE_NAMES)]

    def config(self, row: int) -> Config:
        """The configuration of a row."""
        return {name: OPERATIONS[i] for name, i in zip(EDGE_NAMES, self.cells[row], strict=True)}

    @cached_property
    def _rows(self) -> dict[tuple[str, ...], int]:
        return {tuple(OPERATIONS[i] for i in cell): row for row, cell in enumerate(self.cells.tolist())}


class TableProblem:
    """A search on the table: trainings of 12 and of 200 epochs, looked up.

    An epoch between 12 and 200, and one below 12, gets the value of 12 epochs, as nothing else was measured: rungs at
    other epochs cost more and tell nothing more. The two trainings are separate ones, each with its own learning-rate
    schedule, so 12 epochs are a lower fidelity rather than a point on the curve of 200.

    The hypervolume is taken up to an error of 0.9, that of guessing, and up to the largest cost in the table, costs on
    a logarithmic scale. Cells at either limit or beyond, which guess or cost the most, add nothing to it.

    Attributes:
        table: What is looked up.
        problem: `Problem` with `val_error`, in [0, 1]; `flops` and `parameters`, exact; or the latency on a device, as
            `latency_raspi4`, measured.
        losses: Losses of all cells at 200 epochs, `n x m`.
        front: The rows on the true Pareto front, by the first objective.
        reference: The hypervolume's reference point on the objectives' scale, `m` losses.
        hypervolume: Of the true front.

    Args:
        table: What is looked up.
        objectives: Their names.

    Raises:
        UnknownNameError: For an objective that the table does not have.
    """

    def __init__(self, table: NASBench201Table, objectives: Sequence[str] = ("val_error", "flops")) -> None:
        self.table = table
        self._columns = {name: self._column(name) for name in objectives}
        self.problem = Problem(
            space=nas_bench_201_space(seed=0),
            objectives=tuple(self._objective(name) for name in objectives),
            min_epochs=EPOCHS[0],
            max_epochs=EPOCHS[1],
            exact=self._exact,
        )
        self.losses = np.stack(list(self._columns.values()), axis=1)
        front = np.flatnonzero(non_dominated(self.losses))
        self.front = front[np.argsort(self.losses[front, 0], kind="stable")]
        worst = np.array([[objective.reference_loss for objective in self.problem.objectives]], dtype=np.float64)
        self.reference: Array = self.problem.scaled(worst)[0]
        self.hypervolume = self.hypervolume_of(self.losses[self.front])
        self._evaluate = evaluator(self.problem, self.values)

    def evaluate(self, proposal: Proposal) -> Evaluation:
        """Carry out a proposal: what a training of this cell gave."""
        return self._evaluate(proposal)

    def values(self, config: Config, epoch: int) -> dict[str, float]:
        """The objectives of a configuration after `epoch` epochs, by name."""
        row = self.table.row(config)
        values = {name: float(column[row]) for name, column in self._columns.items()}
        if epoch < EPOCHS[1] and "val_error" in values:
            values["val_error"] = float(self.table.error_12[row])
        return values

    def hypervolume_of(self, losses: npt.ArrayLike) -> float:
        """The hypervolume of losses, `n x m`, on the objectives' scale."""
        return hypervolume(self.problem.scaled(np.asarray(losses, dtype=np.float64)), self.reference)

    def _exact(self, config: Config) -> Mapping[str, float]:
        row = self.table.row(config)
        return {"flops": float(self.table.flops[row]), "parameters": float(self.table.parameters[row])}

    def _column(self, name: str) -> Array:
        columns = {
            "val_error": self.table.error_200,
            "flops": self.table.flops,
            "parameters": self.table.parameters,
            **{f"latency_{device}": latency for device, latency in self.table.latencies.items()},
        }
        if name not in columns:
            raise UnknownNameError("objective of the table", name, columns)
        return columns[name]

    def _objective(self, name: str) -> Objective:
        if name == "val_error":
            return Objective(name=name, reference=CHANCE_ERROR)
        kind = Kind.EXACT if name in ("flops", "parameters") else Kind.MEASURED
        return Objective(name=name, kind=kind, log=True, reference=float(self._columns[name].max()))


def sensible_priors(objectives: Sequence[str]) -> dict[str, Prior]:
    """What an expert would say of each objective: convolutions for the error, few for the costs."""
    return {objective: _ACCURATE if objective == "val_error" else _CHEAP for objective in objectives}


@cache
def table_problem(path: Path, objectives: tuple[str, ...]) -> TableProblem:
    """The problem on the table in a file, which is read once per process."""
    return TableProblem(NASBench201Table.load(path), objectives)


def look_up(
    problem: TableProblem, algorithm: Algorithm, *, seed: int, full_trainings: float, directory: Path
) -> Result:
    """One search on the table; there are no networks to load from its result, and nothing is stored.

    Args:
        problem: What is searched.
        algorithm: With what.
        seed: Of the search.
        full_trainings: Its budget, in trainings of 200 epochs.
        directory: Where what is made of the result may be kept.
    """
    searched = problem.problem
    algorithm.start(searched, seed=seed)
    events = drive(algorithm, problem.evaluate, epochs=full_trainings * searched.max_epochs)
    # The oracle would take the whole table along to other processes.
    known = Problem(
        space=searched.space,
        objectives=searched.objectives,
        min_epochs=searched.min_epochs,
        max_epochs=searched.max_epochs,
    )
    build = Factory(NASBench201Classifier)
    return Result(known, [(event, 0.0) for event in events], directory=directory, build=build, seed=seed)


def _read(path: Path) -> dict[str, npt.NDArray[np.generic]]:
    """The arrays, of the shapes that belong together."""
    remedy = f"give an .npz file with the arrays {', '.join(_ARRAYS)}"
    try:
        with np.load(path, allow_pickle=False) as file:
            missing = [name for name in _ARRAYS if name not in file]
            arrays = {} if missing else {name: file[name] for name in _ARRAYS}
    # What is no .npz file fails in many ways: as a pickle, as an empty file, or as an array, which is no context.
    except (OSError, ValueError, EOFError, TypeError, AttributeError, zipfile.BadZipFile) as error:
        raise InvalidArgumentError(f"'table', {str(path)!r}, cannot be read ({error}); {remedy}") from error
    if missing:
        raise InvalidArgumentError(f"'table', {str(path)!r}, lacks the arrays {', '.join(missing)}; {remedy}")
    n, d = len(arrays["ops"]), len(arrays["datasets"])
    shapes = {
        "ops": (n, len(EDGE_NAMES)),
        "val_acc_12": (n, d),
        "val_acc_200": (n, d, arrays["val_acc_200"].shape[-1]),
        "flops_M": (n,),
        "params_formula_M": (n,),
        "help_latency_ms": (n, len(arrays["help_devices"])),
    }
    for name, shape in shapes.items():
        if arrays[name].shape != shape:
            raise InvalidArgumentError(
                f"'table', {str(path)!r}, has {name!r} of shape {arrays[name].shape}, expected {shape}; {remedy}"
            )
    n_cells = len(OPERATIONS) ** len(EDGE_NAMES)
    found = (
        tuple(str(name) for name in arrays["op_names"]),
        len(np.unique(arrays["ops"], axis=0)),
        DATASET in [str(name) for name in arrays["datasets"]],
    )
    if n != n_cells or found != (OPERATIONS, n_cells, True):
        raise InvalidArgumentError(
            f"'table', {str(path)!r}, must hold each of {n_cells} cells of the operations {OPERATIONS} once, with the "
            f"data set {DATASET!r}; got {n} rows, {found[1]} different cells, operations {found[0]}; {remedy}"
        )
    return arrays
