"""The exact objectives of a configuration without training it: the oracle that an algorithm may ask."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import Any

import lightning.pytorch as pl
import torch

from lightning_primo.checks import printable_lines
from lightning_primo.errors import SlowMeasurementWarning
from lightning_primo.factory import Factory
from lightning_primo.factory.without_weights import without_weights
from lightning_primo.measure.isolation import rng_kept
from lightning_primo.objectives.base import CostCallback
from lightning_primo.objectives.example_inputs import inputs_before_training
from lightning_primo.problem.trial import Config, configuration_key

_warned = False  # once per process, however many searches run in it


class ExactCosts:
    """The values of exact objectives, by configuration: ``{name: value}``.

    A module is built on the meta device, where weights take neither time nor memory, and measured there. One that
    can't be is built on the CPU, with one SlowMeasurementWarning per process. Where that fails too the value is NaN:
    the trial of that configuration will meet the same exception and report it. Values are kept, and the global
    generators are left as they are.

    Inputs are those that the user gives, else the module's `example_input_array`, else the inputs of one sample of the
    training data of the first configuration asked for, which all others are then measured with.

    Args:
        factory: Builds the modules.
        objectives: Exact objectives, and constraints.
    """

    def __init__(self, factory: Factory, objectives: Sequence[CostCallback]) -> None:
        self._factory = factory
        self._objectives = tuple(objectives)
        self._values: dict[str, dict[str, float]] = {}
        self._sample: Any = None

    def __call__(self, config: Config) -> dict[str, float]:
        """The values for `config`; NaN where they can't be computed."""
        key = configuration_key(config)
        if key not in self._values:
            with rng_kept():
                self._values[key] = self._measure(config)
        return dict(self._values[key])

    def _measure(self, config: Config) -> dict[str, float]:
        values, failure = self._measure_on("meta", config, self._objectives)
        missing = [callback for callback in self._objectives if callback.objective.name not in values]
        if failure is not None and missing:
            more, _ = self._measure_on("cpu", config, missing)
            values.update(more)
            if more:
                _warn_of_slowness(failure)
        return {name: values.get(name, math.nan) for name in (c.objective.name for c in self._objectives)}

    def _measure_on(
        self, device: str, config: Config, objectives: Sequence[CostCallback]
    ) -> tuple[dict[str, float], Exception | None]:
        """The values that could be measured, and what kept the others from it."""
        values: dict[str, float] = {}
        failure: Exception | None = None
        try:
            with without_weights() if device == "meta" else torch.device(device):
                module = self._factory.whole_module(config)
        except Exception as error:
            return values, error
        for callback in objectives:
            try:
                inputs = self._inputs(module, config, callback) if callback.needs_inputs else None
                values[callback.objective.name] = callback.value_for(module, inputs)
            except Exception as error:  # noqa: PERF203 - one objective that fails must not hide the others
                failure = error
        return values, failure

    def _inputs(self, module: pl.LightningModule, config: Config, callback: CostCallback) -> Any:
        own = module.example_input_array is not None
        if own or callback.example_inputs is not None or self._factory.example_inputs is not None:
            return inputs_before_training(self._factory, config, module, callback.example_inputs)
        if self._sample is None:
            self._sample = inputs_before_training(self._factory, config, module)
        return self._sample


def _warn_of_slowness(error: Exception) -> None:
    global _warned
    if _warned:
        return
    _warned = True
    reason = printable_lines(f"{type(error).__name__}: {error}")
    warnings.warn(
        f"the module can't be built or measured on the meta device ({reason}); it is built on "
        "the CPU to know its exact objectives, which is slower. To avoid it, look at no tensor's values in __init__",
        SlowMeasurementWarning,
        stacklevel=2,
    )
