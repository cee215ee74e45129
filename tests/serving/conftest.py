from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from lightning_primo.serving.server import Limits, MeasurementServer

TOKEN = "the-token-of-the-tests"

Serve = Callable[..., MeasurementServer]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Starts servers in threads of this process: ``serve(limits=..., port=..., told=...)``."""
    with ExitStack() as stack:

        def start(**options: object) -> MeasurementServer:
            server = MeasurementServer(TOKEN, **{"limits": Limits(seconds=20.0), **options})  # type: ignore[arg-type]
            stack.callback(server.server_close)
            threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
            stack.callback(server.shutdown)
            return server

        yield start
