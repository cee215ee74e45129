"""The unit that lengths are counted in, and how a Trainer trains in it."""

from __future__ import annotations

from lightning_primo.problem.unit import DataFractions, Steps, Unit
from lightning_primo.training.lengths.base import TrainingLength
from lightning_primo.training.lengths.by_data import ByData
from lightning_primo.training.lengths.by_epochs import ByEpochs
from lightning_primo.training.lengths.by_steps import BySteps


def length_in(unit: Unit) -> TrainingLength:
    """How a Trainer trains to lengths that are counted in `unit`."""
    if isinstance(unit, Steps):
        return BySteps(unit.grain)
    return ByData() if isinstance(unit, DataFractions) else ByEpochs()
