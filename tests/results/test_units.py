from __future__ import annotations

import math

import pytest

from lightning_primo.problem.objective import Kind, Objective
from lightning_primo.results.units import Quantity, quantity_of, unit_of


@pytest.mark.parametrize(
    ("name", "kind", "values", "texts"),
    [
        ("latency_cpu", Kind.MEASURED, (0.0031, 0.012, 0.0005), ("3.1 ms", "12 ms", "0.5 ms")),
        ("latency", Kind.MEASURED, (31e-6,), ("31 µs",)),
        ("latency", Kind.MEASURED, (0.0,), ("0 s",)),
        ("training_seconds", Kind.TRAINED, (42.0,), ("42 s",)),
        ("energy_cuda", Kind.MEASURED, (0.0021,), ("2.1 mJ",)),
        ("memory_cuda", Kind.MEASURED, (2.5e9, 1e9, 3e8), ("2.5 GB", "1 GB", "0.3 GB")),
        ("parameters", Kind.EXACT, (1.24e6,), ("1.24 M",)),
        ("flops", Kind.EXACT, (999.0,), ("999",)),
        ("val_error", Kind.TRAINED, (0.125, 0.9), ("12.5 %", "90 %")),
        ("val/acc", Kind.TRAINED, (0.5, math.nan), ("50 %", "nan %")),
        ("val_error", Kind.TRAINED, (12.5, 90.0), ("12.5", "90")),  # it is in percent already
        ("val_loss", Kind.TRAINED, (0.125,), ("0.125",)),
        ("terror", Kind.TRAINED, (0.125,), ("0.125",)),
        ("latency", Kind.TRAINED, (0.125,), ("0.125",)),  # a metric of the user's, in a unit of his own
        ("parameters", Kind.EXACT, (), ()),
        ("val_miou", Kind.TRAINED, (0.125,), ("12.5 %",)),
        ("val_auroc", Kind.TRAINED, (0.75,), ("75 %",)),
        ("accumulated", Kind.TRAINED, (0.125,), ("0.125",)),  # a word, not a part of one
    ],
)
def test_values_are_shown_in_a_unit(name: str, kind: Kind, values: tuple[float, ...], texts: tuple[str, ...]) -> None:
    unit = unit_of(Objective(name=name, kind=kind), values)
    assert tuple(map(unit.text, values)) == texts


@pytest.mark.parametrize(
    ("name", "kind", "values", "quantity"),
    [
        ("latency_cpu", Kind.MEASURED, (0.0031,), "seconds"),
        ("energy", Kind.MEASURED, (2.5,), "joules"),
        ("memory_cuda", Kind.MEASURED, (2.5e9,), "bytes"),
        ("parameters", Kind.EXACT, (10.0, math.nan), "count"),
        ("work", Kind.EXACT, (1234.5, 1e6), "count"),
        ("sparsity", Kind.EXACT, (0.25, 0.5), "number"),
        ("test/dice", Kind.TRAINED, (0.25,), "share"),
        ("dice", Kind.TRAINED, (-0.25,), "number"),
        ("error", Kind.TRAINED, (), "number"),
    ],
)
def test_what_values_are(name: str, kind: Kind, values: tuple[float, ...], quantity: Quantity) -> None:
    assert quantity_of(Objective(name=name, kind=kind), values) == quantity
