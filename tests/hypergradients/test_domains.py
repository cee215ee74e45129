from __future__ import annotations

from typing import Any

import pytest
import torch

from lightning_primo.errors import InvalidArgumentError
from lightning_primo.hypergradients import Domain, Interval, Positive, Unbounded
from tests.hypergradients.modules import DOUBLE

LINE = torch.linspace(-8, 8, 33, dtype=DOUBLE)


@pytest.mark.parametrize(
    ("domain", "low", "high"),
    [(Unbounded(), -9.0, 9.0), (Positive(), 0.0, 3000.0), (Interval(-1.0, 0.5), -1.0, 0.5)],
    ids=repr,
)
def test_the_line_is_mapped_onto_the_domain_and_back(domain: Domain, low: float, high: float) -> None:
    values = domain.value(LINE)
    assert bool((values > low).all())
    assert bool((values < high).all())
    assert bool((values.diff() > 0).all())
    torch.testing.assert_close(domain.free(values), LINE, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize(
    ("domain", "outside"), [(Positive(), [0.0, -1.0]), (Interval(0.0, 0.5), [0.0, 0.5, -0.1, 0.6])], ids=repr
)
def test_what_lies_outside_has_no_point(domain: Domain, outside: list[float]) -> None:
    assert not bool(torch.isfinite(domain.free(torch.tensor(outside, dtype=DOUBLE))).any())


@pytest.mark.parametrize("ends", [(0.5, 0.0), (1.0, 1.0), (0.0, float("inf")), ("0", 1.0)])
def test_bad_ends(ends: Any) -> None:
    with pytest.raises(InvalidArgumentError, match=r"'(low|high)'"):
        Interval(*ends)
