"""Keys of a project's config that reach neither model, data nor Trainer, however they are set."""

from __future__ import annotations

import types
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from lightning.pytorch.cli import LightningCLI

from lightning_primo.cli.project.overlay import MISSING, look_up, within
from lightning_primo.cli.project.project import Project
from lightning_primo.cli.project.workplace import Workplace

_PARTS = ("model", "data", "trainer")
_NOT_RUN = ("__init__", "add_arguments_to_parser", "add_default_arguments_to_parser", "add_core_arguments_to_parser")
_SUBCOMMANDS = ("fit", "validate", "test", "predict")


@dataclass(frozen=True)
class UnreadKeys:
    """What of a space does nothing.

    Args:
        own: Arguments that the project's LightningCLI adds, which no link passes on and no hook of a search can read.
        doubtful: Such arguments of which nothing is known but that no hook names them, and those of classes of the
            project's own, which are made in a trial too and may set something as they are.
        schedules: Those of a learning-rate schedule without an optimizer, which LightningCLI then makes no use of.
    """

    own: tuple[str, ...]
    doubtful: tuple[str, ...]
    schedules: tuple[str, ...]


def unread_keys(project: Project, keys: Iterable[str]) -> UnreadKeys:
    """Those of `keys` that nothing reads.

    Args:
        project: Which must be active, and read.
        keys: Of the space, dotted.
    """
    prepared = Workplace(project.cli, project.folder).prepared
    if prepared.instances is None:  # of a parser that is not known here
        return UnreadKeys((), (), ())
    keys, cli = list(keys), prepared.instances
    optimizers, schedules = cli.automatic
    sources = [key for linked, _ in cli.links for key in linked[:-1]]
    heeded = (*_PARTS, *optimizers, *cli.callback_keys)
    own = [key for key in keys if not any(within(key, part) for part in (*heeded, *schedules))]
    unlinked = [key for key in own if not any(within(key, s) or within(s, key) for s in sources)]
    named = frozenset(_named(prepared.construction.cls))
    unnamed = [key for key in unlinked if key.split(".")[0] not in named]
    doubtful = [key for key in unnamed if named or isinstance(project.base.get(key.split(".")[0]), Mapping)]
    no_optimizer = not any(
        look_up(project.base, name) not in (None, MISSING) or any(within(key, name) for key in keys)
        for name in optimizers
    )
    return UnreadKeys(
        own=tuple(key for key in unnamed if key not in doubtful),
        doubtful=tuple(doubtful),
        schedules=tuple(key for key in keys if no_optimizer and any(within(key, name) for name in schedules)),
    )


def _named(cls: type[LightningCLI]) -> Iterator[str]:
    """All names and texts in the methods of a LightningCLI of the project's that a search may run."""
    for owner in cls.__mro__[: cls.__mro__.index(LightningCLI)]:
        for name, function in vars(owner).items():
            after_all = name.removeprefix("before_").removeprefix("after_") in _SUBCOMMANDS
            if isinstance(function, types.FunctionType) and name not in _NOT_RUN and not after_all:
                yield from _of_code(function.__code__)


def _of_code(code: types.CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _of_code(constant)
        elif isinstance(constant, str):
            yield from constant.split(".")
