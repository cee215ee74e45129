"""Halves the time that ``import lightning`` takes in the processes that tests start, and spares each Trainer a search.

torchmetrics imports what it finds installed for metrics that no test computes: transformers, torchvision, scipy.signal.
Here it finds none of them; all others do. Each Trainer asks all installed packages whether they have callbacks for it,
which takes longer than most trainings of the tests; here they are asked once. The name of a class is looked for once,
too, of the twenty thousand times that jsonargparse does for a config.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType

_HIDDEN = ("_MATPLOTLIB", "_SCIP", "_TORCHVISION", "_TRANSFORMERS")


def _hide_packages(module: ModuleType) -> None:
    for flag in vars(module):
        if flag.startswith(_HIDDEN):
            setattr(module, flag, False)


def _hide_scipy(module: ModuleType) -> None:
    available = module.package_available
    module.package_available = lambda name: name != "scipy" and available(name)  # type: ignore[attr-defined]


def _ask_once(module: ModuleType) -> None:
    module.entry_points = functools.cache(module.entry_points)  # type: ignore[attr-defined]


def _name_once(module: ModuleType) -> None:
    plain = module.get_import_path
    cached = functools.cache(plain)
    module.get_import_path = lambda value: (cached if isinstance(value, type) else plain)(value)  # type: ignore[attr-defined]


_CHANGES: dict[str, Callable[[ModuleType], None]] = {
    "jsonargparse._util": _name_once,
    "torchmetrics.utilities.imports": _hide_packages,
    "lightning_utilities.core.imports": _hide_scipy,
    "lightning.fabric.utilities.registry": _ask_once,
}


class _Finder(MetaPathFinder):
    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        spec = PathFinder.find_spec(name, path) if name in _CHANGES else None
        if spec is None or spec.loader is None:
            return None
        execute, change = spec.loader.exec_module, _CHANGES[name]

        def exec_module(module: ModuleType) -> None:
            execute(module)
            change(module)

        spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


sys.meta_path.insert(0, _Finder())
