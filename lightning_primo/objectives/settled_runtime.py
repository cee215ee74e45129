"""Which of several runtimes a search measures in: one for all its processes, whoever is the first to know.

Jobs that begin at the same time, before any value was told, would each settle a `FirstOf` by their own network. So what
the first measurement that ends has settled is written into the search's directory, and all others go by that.
"""

from __future__ import annotations

import hashlib
import json
import os
import uuid
from contextlib import suppress
from pathlib import Path

from lightning_primo.layout import write_atomically
from lightning_primo.objectives.bench import Bench
from lightning_primo.problem.place import Place
from lightning_primo.runtimes.eager import Eager


class SettledRuntime:
    """What is settled of a bench, in a file.

    Args:
        folder: That all processes of the search share; made where it is missing.
        bench: Which leaves its runtime open.
        place: Where it would be measured now.
    """

    def __init__(self, folder: Path, bench: Bench, place: Place) -> None:
        self._bench = bench
        of = json.dumps([bench.settings(), dict(place)], sort_keys=True)
        self._file = folder / f"runtime-{hashlib.sha256(of.encode()).hexdigest()[:32]}.json"

    def read(self) -> Bench | None:
        """The bench with the runtime that is settled; None where none is, or one that is not installed any more."""
        try:
            place = json.loads(self._file.read_text(encoding="utf-8"))
        except (OSError, ValueError):  # there is none
            return None
        bench = self._bench.as_on(place)
        return bench if runtime_in(bench.place(batch_size=None)) == runtime_in(place) else None

    def settle(self, place: Place) -> Bench:
        """The bench that counts: that of `place`, where it was measured, unless another process was quicker."""
        text = json.dumps({"runtime": runtime_in(place)})
        self._file.parent.mkdir(parents=True, exist_ok=True)
        if self._file.exists() and self.read() is None:
            write_atomically(self._file, text)  # in place of a version that is gone
        with suppress(FileExistsError):
            self._create(text)
        return self.read() or self._bench.as_on(place)

    def _create(self, text: str) -> None:
        """Write the file, whole and only if there is none."""
        own = self._file.with_name(f"{self._file.name}.{uuid.uuid4().hex}")
        own.write_text(text, encoding="utf-8")
        try:
            os.link(own, self._file)
        except FileExistsError:
            raise
        except OSError:  # no links on this file system
            with self._file.open("x", encoding="utf-8") as file:
                file.write(text)
        finally:
            own.unlink()


def runtime_in(place: Place) -> str:
    """The runtime that something was measured in, which a place names unless it is PyTorch's own."""
    return place.get("runtime", Eager().text())
