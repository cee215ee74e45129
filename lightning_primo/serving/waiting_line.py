"""The line in which measurements wait: one at a time is measured, and clients take turns."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterator
from typing import Generic, TypeVar

T = TypeVar("T")


class WaitingLine(Generic[T]):
    """What waits, by client: the next one is the oldest of the client whose turn it is.

    A client that has had its turn goes to the end, so that one with many measurements does not keep another waiting for
    more than one of them. Not made for several threads.

    >>> line = WaitingLine[str]()
    >>> for client, what in (("a", "a1"), ("a", "a2"), ("b", "b1"), ("a", "a3")):
    ...     line.add(client, what)
    >>> list(line), line.pop(), line.pop(), line.pop()
    (['a1', 'b1', 'a2', 'a3'], 'a1', 'b1', 'a2')
    """

    def __init__(self) -> None:
        self._waiting: OrderedDict[str, deque[T]] = OrderedDict()

    def __len__(self) -> int:
        return sum(map(len, self._waiting.values()))

    def __iter__(self) -> Iterator[T]:
        """All that wait, in the order in which they would be taken if nothing were added."""
        rounds = max(map(len, self._waiting.values()), default=0)
        for turn in range(rounds):
            for waiting in self._waiting.values():
                if turn < len(waiting):
                    yield waiting[turn]

    def add(self, client: str, item: T) -> None:
        """Put `item` behind the others of `client`."""
        self._waiting.setdefault(client, deque()).append(item)

    def pop(self) -> T:
        """Take the next one out.

        Raises:
            KeyError: If nothing waits.
        """
        client, waiting = self._waiting.popitem(last=False)
        item = waiting.popleft()
        if waiting:
            self._waiting[client] = waiting  # at the end
        return item

    def remove(self, client: str, item: T) -> None:
        """Take `item` out if it waits."""
        waiting = self._waiting.get(client, deque())
        if item in waiting:
            waiting.remove(item)
        if not waiting:
            self._waiting.pop(client, None)
