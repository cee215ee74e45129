"""Which hyperparameters the class of a module or of its data takes."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

import lightning.pytorch as pl

from lightning_primo.factory.collected_keywords import are_read, saved_names
from lightning_primo.problem.trial import Config

_BASES = frozenset({*inspect.getmro(pl.LightningModule), *inspect.getmro(pl.LightningDataModule)})


@dataclass(frozen=True)
class Keywords:
    """The keyword arguments that a class takes.

    Args:
        accepted: Their names.
        required: Those among them that have no default.
        any: Whether it takes every name.
        drops: Whether it can be called with every name, but reads no others than `accepted`.
    """

    accepted: tuple[str, ...]
    required: tuple[str, ...]
    any: bool = False
    drops: bool = False

    @classmethod
    def of(cls, target: Callable[..., Any]) -> Keywords:
        """The keywords of a class, or of a `functools.partial` of one, whose preset keywords are left out.

        Where an ``__init__`` reads its ``**kwargs``, they are taken to be passed on to the next class that defines one;
        if that is LightningModule or LightningDataModule, the class itself reads them and every name is taken. Where
        it does not, only what the class reads of its saved hyperparameters is taken besides the named arguments.
        """
        if isinstance(target, functools.partial):
            inner = cls.of(target.func)
            n_positional = len(target.args)
            left = [name for name in inner.accepted[n_positional:] if name not in target.keywords]
            return cls(tuple(left), tuple(name for name in inner.required if name in left), inner.any, inner.drops)
        required: dict[str, bool] = {}
        passes_on = drops = False
        for owner in inspect.getmro(target):  # type: ignore[arg-type]
            if "__init__" not in vars(owner):
                continue
            if owner in _BASES:
                break
            parameters = list(inspect.signature(vars(owner)["__init__"]).parameters.values())[1:]
            for parameter in parameters:
                if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
                    required.setdefault(parameter.name, parameter.default is parameter.empty)
            rest = next((parameter.name for parameter in parameters if parameter.kind is parameter.VAR_KEYWORD), None)
            passes_on = rest is not None and are_read(vars(owner)["__init__"], rest)
            if passes_on:
                continue
            if rest is not None:
                saved = saved_names(one for one in inspect.getmro(target) if one not in _BASES)  # type: ignore[arg-type]
                passes_on, drops = saved is None, saved is not None
                required |= {name: False for name in sorted(saved or ()) if name not in required}
            break
        return cls(tuple(required), tuple(name for name in required if required[name]), passes_on, drops)

    def select(self, config: Config) -> dict[str, Any]:
        """The entries of `config` that are taken."""
        return dict(config) if self.any else {name: config[name] for name in self.accepted if name in config}


def listed(names: Collection[str]) -> str:
    """The names in quotes, for a message."""
    return ", ".join(repr(name) for name in names) or "nothing"
