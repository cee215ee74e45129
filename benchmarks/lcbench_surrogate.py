"""LCBench's tasks as problems that are searched without training.

The surrogate is YAHPO Gym's (Pfisterer et al. 2022, arXiv 2109.03670) of LCBench (Zimmer et al. 2021, arXiv
2006.13799): an ONNX file, `model.onnx`, with its `encoding.json` beside it. Objectives: validation error in percent and
training time in seconds; 2 to 52 epochs.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
from ConfigSpace import ConfigurationSpace, Float, Integer

from benchmarks.ranked_priors import ranked_priors
from lightning_primo.problem import Problem
from lightning_primo.problem.objective import Objective
from lightning_primo.problem.trial import Config
from lightning_primo.space import Encoding, Prior

Array = npt.NDArray[np.float64]

TASKS = ("3945", "7593", "34539", "126029")
"""Those that defaults of the algorithms were chosen on."""

MAX_EPOCHS = 52
_ORDER = (
    "batch_size",
    "learning_rate",
    "momentum",
    "weight_decay",
    "num_layers",
    "max_units",
    "max_dropout",
)


def lcbench_space() -> ConfigurationSpace:
    """LCBench's seven hyperparameters."""
    space = ConfigurationSpace(seed=0)
    space.add(
        Integer("batch_size", (16, 512), log=True),
        Float("learning_rate", (1e-4, 0.1), log=True),
        Float("momentum", (0.1, 0.99)),
        Float("weight_decay", (1e-5, 0.1)),
        Integer("num_layers", (1, 5)),
        Integer("max_units", (64, 1024), log=True),
        Float("max_dropout", (0.0, 1.0)),
    )
    return space


@dataclass(frozen=True)
class LCBenchTask:
    """One task: error and time; the reference point is an error of 100 % and the longest of 1,000 random trainings.

    Args:
        data_dir: Folder with `model.onnx` and `encoding.json`.
        task: Number of the task at OpenML.
        error_alone: Without the time; the reference is the median error of these trainings.
    """

    data_dir: str
    task: str
    error_alone: bool = False

    @cached_property
    def problem(self) -> Problem:
        """What is searched."""
        encoding = Encoding(lcbench_space())
        random = self._predict(encoding.configs(encoding.sample(1000, np.random.default_rng(54321))), MAX_EPOCHS)
        alone = (Objective(name="error", reference=float(np.median(random[:, 0]))),)
        both = (
            Objective(name="error", reference=100.0),
            Objective(name="seconds", log=True, reference=float(random[:, 1].max())),
        )
        return Problem(
            space=lcbench_space(),
            objectives=alone if self.error_alone else both,
            min_epochs=2,
            max_epochs=MAX_EPOCHS,
        )

    @cached_property
    def priors(self) -> tuple[dict[str, Prior], dict[str, Prior]]:
        """Sensible and misleading ones."""
        return ranked_priors(self.problem, self.trained)

    def values(self, config: Config, epoch: int) -> dict[str, float]:
        """The error and the seconds of a configuration after `epoch` epochs, by name."""
        error, seconds = self._predict([config], epoch)[0]
        return {"error": float(error), "seconds": float(seconds)}

    def trained(self, configs: Sequence[Config]) -> Array:
        """Error in percent and seconds of full trainings, `n x 2`; with the error alone `n x 1`."""
        both = self._predict(configs, MAX_EPOCHS)
        return both[:, :1] if self.error_alone else both

    def _predict(self, configs: Sequence[Config], epoch: int) -> Array:
        rows = np.array([[epoch, *(float(config[name]) for name in _ORDER)] for config in configs], dtype=np.float32)
        category = np.full((len(rows), 1), _task_number(self.data_dir, self.task), dtype=np.int32)
        session = _session(self.data_dir)
        names = [i.name for i in session.get_inputs()]
        (output,) = session.run(None, {names[0]: category, names[1]: rows})
        return np.stack([100.0 - output[:, 1], np.maximum(output[:, 0], 1e-3)], axis=1).astype(np.float64)


@cache
def lcbench_task(data_dir: str, task: str, error_alone: bool = False) -> LCBenchTask:
    """The task, whose reference point and priors are computed once per process."""
    return LCBenchTask(data_dir, task, error_alone)


@cache
def _session(data_dir: str):  # type: ignore[no-untyped-def]
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(str(Path(data_dir) / "model.onnx"), options)


@cache
def _task_number(data_dir: str, task: str) -> int:
    encoding = json.loads((Path(data_dir) / "encoding.json").read_text())
    return int(encoding["OpenML_task_id"][task])
