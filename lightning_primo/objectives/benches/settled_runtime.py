"""Which of several runtimes a search measures in: one for all its processes, whoever is the first to know.

Jobs that begin at the same time, before any value was told, would each settle a `FirstOf` by their own network. So what
the first measurement that ends has settled is written into the search's directory, and all others go by that. What was
settled for a version that is gone is replaced in the same way.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Generic

from lightning_primo.errors import StorageError
from lightning_primo.file_lock import FileLock
from lightning_primo.layout import write_atomically
from lightning_primo.objectives.benches.bench import Bench, M
from lightning_primo.problem.place import Place
from lightning_primo.runtimes.eager import Eager

_LOCK_SECONDS = 60.0  # it is held for a millisecond


class SettledRuntime(Generic[M]):
    """What is settled of a bench, in a file.

    Args:
        folder: That all processes of the search share; made where it is missing.
        bench: Which leaves its runtime open.
        place: Where it would be measured now.
    """

    def __init__(self, folder: Path, bench: Bench[M], place: Place) -> None:
        self._bench = bench
        of = json.dumps([bench.settings(), dict(place)], sort_keys=True)
        self._file = folder / f"runtime-{hashlib.sha256(of.encode()).hexdigest()[:32]}.json"

    def read(self) -> Bench[M] | None:
        """The bench with the runtime that is settled; None where none is, or one that is not installed any more."""
        try:
            place = json.loads(self._file.read_text(encoding="utf-8"))
        except (OSError, ValueError):  # there is none
            return None
        bench = self._bench.as_on(place)
        return bench if runtime_in(bench.place(batch_size=None)) == runtime_in(place) else None

    def settle(self, place: Place) -> Bench[M]:
        """The bench that counts: that of `place`, where it was measured, unless another process was quicker.

        Raises:
            StorageError: If the decision cannot be written, or another process keeps the lock on it.
        """
        self._file.parent.mkdir(parents=True, exist_ok=True)
        with self._locked():
            bench = self.read()
            if bench is None:  # nothing, or a version that is gone
                write_atomically(self._file, json.dumps({"runtime": runtime_in(place)}))
                bench = self.read()
        return bench or self._bench.as_on(place)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Have the decision to oneself: of two that find none, or a stale one, the second goes by the first's."""
        path = self._file.with_suffix(".lock")
        lock = FileLock(path)
        try:
            if not lock.acquire(seconds=_LOCK_SECONDS):
                raise StorageError(
                    f"another process has kept {str(path)!r} locked for {_LOCK_SECONDS:.0f} s, so it cannot be settled "
                    "in which runtime the search measures; end that process, which may be suspended, and run the same "
                    "search again"
                )
            yield
        finally:
            lock.close()


def runtime_in(place: Place) -> str:
    """The runtime that something was measured in, which a place names unless it is PyTorch's own."""
    return place.get("runtime", Eager().text())
