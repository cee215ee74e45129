"""LCBench's tasks as problems that are searched without training.

The surrogate is YAHPO Gym's (Pfisterer et al. 2022, arXiv 2109.03670) of LCBench (Zimmer et al. 2021, arXiv
2006.13799): an ONNX file, `model.onnx`, with its `encoding.json` beside it. Objectives: validation error in percent,
training time in seconds, and parameters, which are computed; 2 to 52 epochs.
"""

from __future__ import annotations

import itertools
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
from lightning_primo.problem.objective import Kind, Objective
from lightning_primo.problem.trial import Config
from lightning_primo.space import Encoding, Prior

Array = npt.NDArray[np.float64]

TASKS = ("3945", "7593", "34539", "126029")
"""Those that defaults of the algorithms were chosen on."""

HELD_OUT = ("126025", "167083", "167161", "167185", "168330", "168908", "189862", "189906")
"""Every fourth of the others: no default was chosen on them, but they showed what was wrong with the model of rungs."""

NEVER_LOOKED_AT = ("126026", "167149", "167181", "167200", "168331", "168910", "189866", "189908")
"""Every third of the rest, which were searched once that was mended."""

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
_N_INPUTS, _N_CLASSES = 100, 2


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
    """One task; the reference point is an error of 100 % and the most expensive of 1,000 random trainings.

    Args:
        data_dir: Folder with `model.onnx` and `encoding.json`.
        task: Number of the task at OpenML.
        objectives: Of `error`, `seconds` and `parameters`, the error first. With the error alone its reference is the
            median of these trainings.
    """

    data_dir: str
    task: str
    objectives: tuple[str, ...] = ("error", "seconds")

    @cached_property
    def problem(self) -> Problem:
        """What is searched."""
        encoding = Encoding(lcbench_space())
        random = self.trained(encoding.configs(encoding.sample(1000, np.random.default_rng(54321))))
        reference = [100.0, *random.max(axis=0)[1:].tolist()] if random.shape[1] > 1 else [float(np.median(random))]
        return Problem(
            space=lcbench_space(),
            objectives=tuple(
                Objective(
                    name=name,
                    reference=limit,
                    log=name != "error",
                    kind=Kind.EXACT if name == "parameters" else Kind.TRAINED,
                )
                for name, limit in zip(self.objectives, reference, strict=True)
            ),
            exact=lambda config: {"parameters": float(funnel_parameters(config))},
            min_epochs=2,
            max_epochs=MAX_EPOCHS,
        )

    @cached_property
    def priors(self) -> tuple[dict[str, Prior], dict[str, Prior]]:
        """Sensible and misleading ones."""
        return ranked_priors(self.problem, self.trained)

    def values(self, config: Config, epoch: int) -> dict[str, float]:
        """The objectives of a configuration after `epoch` epochs, by name."""
        return dict(zip(self.objectives, self._at([config], epoch)[0].tolist(), strict=True))

    def trained(self, configs: Sequence[Config]) -> Array:
        """The objectives of full trainings, `n x m`."""
        return self._at(configs, MAX_EPOCHS)

    def _at(self, configs: Sequence[Config], epoch: int) -> Array:
        error, seconds = self._predict(configs, epoch).T
        columns = {
            "error": error,
            "seconds": seconds,
            "parameters": np.array([funnel_parameters(config) for config in configs], dtype=np.float64),
        }
        return np.stack([columns[name] for name in self.objectives], axis=1)

    def _predict(self, configs: Sequence[Config], epoch: int) -> Array:
        """Error in percent and seconds, `n x 2`."""
        rows = np.array([[epoch, *(float(config[name]) for name in _ORDER)] for config in configs], dtype=np.float32)
        category = np.full((len(rows), 1), _task_number(self.data_dir, self.task), dtype=np.int32)
        session = _session(self.data_dir)
        names = [i.name for i in session.get_inputs()]
        (output,) = session.run(None, {names[0]: category, names[1]: rows})
        return np.stack([100.0 - output[:, 1], np.maximum(output[:, 0], 1e-3)], axis=1).astype(np.float64)


def funnel_parameters(config: Config) -> int:
    """Weights and biases of a network whose layers get narrower evenly from `max_units` to the classes.

    LCBench's networks have this shape. How many inputs and classes a task has the surrogate doesn't tell: here there
    are 100 and 2.
    """
    n_layers, widest = int(config["num_layers"]), int(config["max_units"])
    hidden = [round(widest - k * (widest - _N_CLASSES) / n_layers) for k in range(n_layers)]
    widths = [_N_INPUTS, *hidden, _N_CLASSES]
    return sum(into * out + out for into, out in itertools.pairwise(widths))


@cache
def lcbench_task(data_dir: str, task: str, objectives: tuple[str, ...] = ("error", "seconds")) -> LCBenchTask:
    """The task, whose reference point and priors are computed once per process."""
    return LCBenchTask(data_dir, task, objectives)


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
