"""The process as it would be if a project's script had been started in the project's folder."""

from __future__ import annotations

import os
import sys
import types
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lightning_primo.cli.project.instances import Instances
from lightning_primo.cli.project.script import MAIN, PLAIN, Construction, Script
from lightning_primo.errors import InvalidArgumentError
from lightning_primo.measure.isolation import rng_kept
from lightning_primo.namespaces import alias_pytorch_lightning


@dataclass
class Prepared:
    """What is made once per process and workplace.

    Args:
        construction: How the project constructs its LightningCLI.
        main: The script as the module ``__main__``, where it was run as that.
        instances: Of the project's config, once it was read.
    """

    construction: Construction
    main: types.ModuleType | None
    instances: Instances | None = None


@dataclass(frozen=True)
class Workplace:
    """Where a project's code runs: the folder, where modules are imported from, ``__main__``, the command line.

    The script is run once per process, up to where it constructs its LightningCLI.

    Args:
        cli: The script or function that constructs the LightningCLI; None where the config names the classes.
        folder: Where the command was given, which relative paths start from.
    """

    cli: str | None
    folder: str

    @property
    def prepared(self) -> Prepared:
        """What was made when this process first entered it."""
        return _prepared[self]

    @contextmanager
    def active(self) -> Iterator[None]:
        """While it lasts the process is in it; within itself, and after `stay`, that changes nothing."""
        if self in _active:
            yield
            return
        before = (Path.cwd(), list(sys.path), sys.argv, sys.modules[MAIN])
        _active.append(self)
        try:
            self._enter()
            yield
        finally:
            _active.remove(self)
            os.chdir(before[0])
            sys.path[:], sys.argv, sys.modules[MAIN] = before[1:]

    def stay(self) -> None:
        """Enter it for the rest of the process's life, unless it is active."""
        if self not in _active:
            self._enter()
            _active.append(self)

    def _enter(self) -> None:
        if not Path(self.folder).is_dir():
            raise InvalidArgumentError(f"the project's folder {self.folder!r} does not exist any more")
        script = None if self.cli is None else Script.of(self.cli, Path(self.folder))
        place = self.folder if script is None or script.path is None else str(script.path.parent)
        os.chdir(self.folder)
        sys.path[:] = [place, *(path for path in sys.path if path != place)]
        if "pytorch_lightning" not in sys.modules:
            alias_pytorch_lightning()
        sys.argv = [sys.argv[0] if script is None else str(script.path or script.module)]
        if self not in _prepared:
            with rng_kept():
                _prepared[self] = Prepared(*((PLAIN, None) if script is None else script.construction()))
        sys.modules[MAIN] = _prepared[self].main or sys.modules[MAIN]


_prepared: dict[Workplace, Prepared] = {}
_active: list[Workplace] = []
