"""What the tests of algorithms share."""

from __future__ import annotations

import pytest

from lightning_primo.acquisitions import candidates


@pytest.fixture
def coarse(monkeypatch: pytest.MonkeyPatch) -> None:
    """Maxima of acquisitions are looked for less thoroughly, for what holds all the same: a third of the time."""
    for name, value in {"_N_SAMPLED": 128, "_N_AROUND": 64, "_N_CLIMBERS": 4, "_SCALES": (0.15, 0.04)}.items():
        monkeypatch.setattr(candidates, name, value)
