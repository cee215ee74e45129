"""Lightning under its two names: `lightning.pytorch`, and the package `pytorch_lightning` with the same code.

Their classes are not the same to Python: a Trainer of one refuses the modules of the other. This package uses
`lightning.pytorch`; `alias_pytorch_lightning` makes projects that are written with the other name use it too.
"""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import version
from types import ModuleType

from typing_extensions import override

from lightning_primo.errors import InvalidArgumentError

_TARGETS = {"pytorch_lightning": "lightning.pytorch", "lightning_fabric": "lightning.fabric"}


class _Alias(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds the modules of `lightning` where those of the other name are asked for."""

    @override
    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname.partition(".")[0] not in _TARGETS:
            return None
        return importlib.machinery.ModuleSpec(fullname, self)

    @override
    def exec_module(self, module: ModuleType) -> None:
        top, dot, rest = module.__name__.partition(".")
        name = f"{_TARGETS[top]}{dot}{rest}"
        try:
            found = importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name is None or not f"{name}.".startswith(f"{error.name}."):
                raise
            raise ModuleNotFoundError(
                f"No module named {module.__name__!r} in Lightning {version('lightning')}, which is in use here: the "
                "project is of another version of Lightning",
                name=module.__name__,
            ) from None
        sys.modules[module.__name__] = found  # the import returns what stands here under the name when it ends


_alias = _Alias()


def alias_pytorch_lightning() -> None:
    """Make ``import pytorch_lightning`` mean `lightning.pytorch` from now on, in the workers of a search too.

    The command line does this for the projects that it searches. In a script call it before anything imports
    `pytorch_lightning`.

    Raises:
        InvalidArgumentError: If `pytorch_lightning` was imported already: its classes are in use then.
    """
    if _is_active():
        return
    if "pytorch_lightning" in sys.modules:
        raise InvalidArgumentError(
            "alias_pytorch_lightning() came too late, 'pytorch_lightning' was imported before: call it first, or "
            "write 'import lightning.pytorch as pl' in the project"
        )
    sys.meta_path.insert(0, _alias)


def has_other_name(part: str = "") -> bool:
    """Whether code of this process has asked for `pytorch_lightning`, or a part of it, in whose place is our name.

    Args:
        part: The module inside, such as ``"cli"``.
    """
    names = [f"{top}.{part}" if part else top for top in ("pytorch_lightning", _TARGETS["pytorch_lightning"])]
    return names[0] in sys.modules and sys.modules[names[0]] is sys.modules.get(names[1])


def in_other_name(path: str) -> str:
    """The path of a class or function of `lightning` in the packages of the other name; other texts are left alone.

    >>> in_other_name("lightning.pytorch.callbacks.EarlyStopping")
    'pytorch_lightning.callbacks.EarlyStopping'
    """
    if not all(part.isidentifier() for part in path.split(".")):
        return path
    for other, own in _TARGETS.items():
        if path.startswith(f"{own}."):
            return other + path.removeprefix(own)
    return path


class Namespaces:
    """Which names Lightning has in this process; unpickling it makes them the same in another one.

    What is pickled after it, in the same tuple, is unpickled with these names.
    """

    def __reduce__(self) -> tuple[Callable[..., Namespaces], tuple[bool]]:
        return _restored, (_is_active(),)


def foreign_hint(made: type) -> str:
    """What to do about a class that derives from `pytorch_lightning`; nothing for others."""
    if not any(owner.__module__.split(".")[0] == "pytorch_lightning" for owner in made.__mro__):
        return ""
    return (
        "; it derives from the package pytorch_lightning: import lightning.pytorch instead, or call "
        "lightning_primo.alias_pytorch_lightning() before the first import of pytorch_lightning"
    )


def _restored(active: bool) -> Namespaces:
    if active:
        alias_pytorch_lightning()
    return Namespaces()


def _is_active() -> bool:
    return _alias in sys.meta_path
