"""The latencies of several configurations, measured in turn in this process."""

from __future__ import annotations

import copy
from collections.abc import Sequence

from lightning_primo.callbacks.reproducibility import seed_globals
from lightning_primo.factory import Factory
from lightning_primo.objectives.benches.places import require_same_place
from lightning_primo.objectives.example_inputs import inputs_before_training
from lightning_primo.objectives.latency import Latency
from lightning_primo.problem.place import Place
from lightning_primo.problem.trial import Config
from lightning_primo.timing import RoundRobin
from lightning_primo.training.process_state import Raised, alone

_STREAM = 13  # of random numbers, apart from those of building, measuring and training


def latencies_in_turn(
    latency: Latency, factory: Factory, configs: Sequence[Config], *, place: Place, seed: int, seconds: float
) -> RoundRobin:
    """Build the modules of some configurations, with new weights, and measure them in turn.

    Args:
        latency: Stays as it is.
        factory: Builds the modules.
        configs: One at least.
        place: Where the latencies of the search were measured.
        seed: Of the weights.
        seconds: Of calls of each; see `Latency.measure_in_turn`.

    Raises:
        DeviceMismatchError: If they would be measured on another device, with other threads or another runtime.
        NotDeployableError: If the runtime does not take a module.
        NotMeasurableError: If a module cannot be called.
    """
    with alone():
        result = _measured(latency, factory, configs, place, seed, seconds)
    if isinstance(result, Raised):
        raise result.error
    return result


def _measured(
    latency: Latency, factory: Factory, configs: Sequence[Config], place: Place, seed: int, seconds: float
) -> RoundRobin | Raised:
    try:
        measuring = copy.deepcopy(latency)
        require_same_place(measuring, {latency.objective.name: place})
        cases = []
        for config in configs:
            seed_globals(seed, _STREAM)
            module = factory.whole_module(config)
            cases.append((module, inputs_before_training(factory, config, module, latency.example_inputs)))
        return measuring.measure_in_turn(cases, seconds=seconds)
    except BaseException as error:
        return Raised(error)
