"""The connections that are open at a server: so many, and fewer from one host that has not shown the token yet."""

from __future__ import annotations

import threading
from collections.abc import Hashable


class Connections:
    """Those that are open.

    Args:
        most: In all.
        most_strangers: Of one host that have not shown the token.
    """

    def __init__(self, *, most: int, most_strangers: int) -> None:
        self.most = most
        self.most_strangers = most_strangers
        self._open: set[Hashable] = set()
        self._strangers: dict[Hashable, str] = {}
        self._lock = threading.Lock()

    def admit(self, connection: Hashable, host: str) -> bool:
        """Whether one more of `host` may be open, which then is."""
        with self._lock:
            if len(self._open) >= self.most or list(self._strangers.values()).count(host) >= self.most_strangers:
                return False
            self._open.add(connection)
            self._strangers[connection] = host
            return True

    def trust(self, connection: Hashable) -> None:
        """It has shown the token."""
        with self._lock:
            self._strangers.pop(connection, None)

    def leave(self, connection: Hashable) -> None:
        """It is closed."""
        with self._lock:
            self._open.discard(connection)
            self._strangers.pop(connection, None)
