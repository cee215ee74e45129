from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.parent import Parent
from tests.search.searches import Searches


@pytest.fixture(scope="session")
def searches(worker_parent: Parent, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Searches]:
    """Runs searches that may be told to die; one process imports torch and Lightning for all of them."""
    searches = Searches(tmp_path_factory.mktemp("log") / "log", worker_parent)
    yield searches
    searches.close()
