"""What the tests of algorithms share."""

from __future__ import annotations

import pytest

from tests.coarse import search_coarsely


@pytest.fixture
def coarse(monkeypatch: pytest.MonkeyPatch) -> None:
    """Maxima of acquisitions are looked for less thoroughly, for what holds all the same: a third of the time."""
    search_coarsely(monkeypatch.setattr)
