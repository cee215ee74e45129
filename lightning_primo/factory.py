"""From a configuration to what is trained: a LightningModule and its data.

It stands alone, below all that trains, measures or reads what it builds: the objectives' oracle, the networks that
grow, jobs, results and the command line have their modules from the same `Factory`.
"""

from __future__ import annotations

import copy
import functools
import inspect
import weakref
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

import lightning.pytorch as pl
from torch.utils.data import DataLoader

from lightning_primo.checks import shown
from lightning_primo.errors import InvalidArgumentError
from lightning_primo.namespaces import foreign_hint
from lightning_primo.problem.trial import Config

_STAGES = ("train", "val", "test")
_BASES = frozenset({*inspect.getmro(pl.LightningModule), *inspect.getmro(pl.LightningDataModule)})

# Modules handed out, and their parameters that are trained, by their ids; those that are gone leave it by themselves.
_handed_out: weakref.WeakValueDictionary[int, Any] = weakref.WeakValueDictionary()


@dataclass(frozen=True)
class Keywords:
    """The keyword arguments that a class takes.

    Args:
        accepted: Their names.
        required: Those among them that have no default.
        any: Whether it takes every name.
    """

    accepted: tuple[str, ...]
    required: tuple[str, ...]
    any: bool = False

    @classmethod
    def of(cls, target: Callable[..., Any]) -> Keywords:
        """The keywords of a class, or of a `functools.partial` of one, whose preset keywords are left out.

        Where an ``__init__`` takes ``**kwargs``, they are taken to be passed on to the next class that defines one; if
        that is LightningModule or LightningDataModule, the class itself reads them and every name is taken.
        """
        if isinstance(target, functools.partial):
            inner = cls.of(target.func)
            n_positional = len(target.args)
            left = [name for name in inner.accepted[n_positional:] if name not in target.keywords]
            return cls(tuple(left), tuple(name for name in inner.required if name in left), inner.any)
        required: dict[str, bool] = {}
        passes_on = False
        for owner in inspect.getmro(target):  # type: ignore[arg-type]
            if "__init__" not in vars(owner):
                continue
            if owner in _BASES:
                break
            parameters = list(inspect.signature(vars(owner)["__init__"]).parameters.values())[1:]
            for parameter in parameters:
                if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
                    required.setdefault(parameter.name, parameter.default is parameter.empty)
            passes_on = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters)
            if not passes_on:
                break
        return cls(tuple(required), tuple(name for name in required if required[name]), passes_on)

    def select(self, config: Config) -> dict[str, Any]:
        """The entries of `config` that are taken."""
        return dict(config) if self.any else {name: config[name] for name in self.accepted if name in config}


class LoadersDataModule(pl.LightningDataModule):
    """Ready-made loaders as a data module.

    Args:
        loaders: What fit, validate and test take as dataloaders, by ``"train"``, ``"val"`` and ``"test"``.
    """

    def __init__(self, loaders: Mapping[str, Any]) -> None:
        super().__init__()
        # As attributes of the instance, so that Lightning sees which stages have data.
        for stage, loader in loaders.items():
            setattr(self, f"{stage}_dataloader", functools.partial(_identity, loader))


def _identity(value: Any) -> Any:
    return value


class Factory:
    """Builds the LightningModule and the data of a configuration.

    Args:
        module: A function ``config -> LightningModule``, or a LightningModule class (or a `functools.partial` of one),
            which is given the hyperparameters that its ``__init__`` takes; other arguments keep their defaults.
        data: Where the data come from: a LightningDataModule for all configurations; a class of these, treated like a
            module class; a function ``config -> LightningDataModule``; dataloaders as a dict with the keys ``"train"``,
            ``"val"`` and ``"test"`` or as a tuple in this order; or None if the module has its own.

    A data module that is given as an instance is copied for every trial, but what its attributes refer to is shared:
    a data set in memory exists once, and `setup` is called anew on each copy.

    Raises:
        InvalidArgumentError: If an argument is none of these.
    """

    def __init__(self, module: Callable[..., Any], data: Any = None) -> None:
        if isinstance(module, pl.LightningModule):
            raise InvalidArgumentError(
                f"'module' is a {type(module).__name__} instance, but every configuration needs a module of its own; "
                f"give the class {type(module).__name__} or a function config -> LightningModule"
            )
        if not callable(module):
            raise InvalidArgumentError(
                f"'module' must be a LightningModule class or a function config -> LightningModule, got {shown(module)}"
            )
        self._module = module
        self._data = LoadersDataModule(_by_stage(data)) if _are_loaders(data) else data
        if not (self._data is None or isinstance(self._data, pl.LightningDataModule) or callable(self._data)):
            raise InvalidArgumentError(
                "'datamodule' must be a LightningDataModule, a class of these, a function config -> "
                f"LightningDataModule, dataloaders as a dict or tuple (train, val, test), or None, got {shown(data)}"
            )
        self._module_keywords = _keywords(module, pl.LightningModule, "module")
        self._data_keywords = _keywords(self._data, pl.LightningDataModule, "datamodule")

    def check(self, names: Collection[str], *, read_elsewhere: bool = False) -> None:
        """Compare the names of a space's hyperparameters with what module and data take; call it before a search.

        Args:
            names: Of the hyperparameters.
            read_elsewhere: Whether something besides module and data may read them.

        Raises:
            InvalidArgumentError: If nothing takes one of `names`, or a class requires an argument that is not
                among them. Functions are taken to read everything.
        """
        classes = [
            (label, target, keywords)
            for label, target, keywords in (
                ("module", self._module, self._module_keywords),
                ("datamodule", self._data, self._data_keywords),
            )
            if keywords is not None
        ]
        for label, target, keywords in classes:
            missing = [name for name in keywords.required if name not in names]
            if missing:
                raise InvalidArgumentError(
                    f"{label!r}: {_name(target)} requires {_listed(missing)}, which the space does not have (it has: "
                    f"{_listed(names)}); give a default, functools.partial({_name(target)}, {missing[0]}=...), or a "
                    "function of the configuration"
                )
        data_is_function = callable(self._data) and self._data_keywords is None
        is_read = read_elsewhere or self._module_keywords is None or data_is_function
        if is_read or any(keywords.any for _, _, keywords in classes):
            return
        taken = {name for _, _, keywords in classes for name in keywords.accepted}
        ignored = [name for name in names if name not in taken]
        if ignored:
            accepts = "; ".join(f"{_name(target)} takes {_listed(kw.accepted)}" for _, target, kw in classes)
            raise InvalidArgumentError(
                f"nothing takes the hyperparameter {_listed(ignored)} of the space: {accepts}. Add it to an __init__, "
                "remove it from the space, or give 'module' as a function of the configuration"
            )

    def module(self, config: Config) -> pl.LightningModule:
        """A new module for `config`.

        Raises:
            InvalidArgumentError: If a required argument is missing in `config`, no LightningModule was built, or one
                that shares what is trained with one handed out before.
        """
        built = _build("module", self._module, self._module_keywords, config)
        if not isinstance(built, pl.LightningModule):
            raise InvalidArgumentError(_wrong_type("module", pl.LightningModule, built))
        _check_new(built)
        return built

    def whole_module(self, config: Config) -> pl.LightningModule:
        """A module with those layers too that it makes in `configure_model`, to be measured or given weights.

        Raises:
            InvalidArgumentError: As for `module`.
        """
        module = self.module(config)
        module.configure_model()
        return module

    def data(self, config: Config) -> pl.LightningDataModule | None:
        """The data for `config`, to be set up by the Trainer; None if the module has its own.

        Raises:
            InvalidArgumentError: As for `module`.
        """
        if self._data is None:
            return None
        if isinstance(self._data, pl.LightningDataModule):
            copied = copy.copy(self._data)
            copied.trainer = None
            return copied
        built = _build("datamodule", self._data, self._data_keywords, config)
        if _are_loaders(built):
            return LoadersDataModule(_by_stage(built))
        if built is not None and not isinstance(built, pl.LightningDataModule):
            raise InvalidArgumentError(_wrong_type("datamodule", pl.LightningDataModule, built))
        return built


def _keywords(target: Any, base: type, label: str) -> Keywords | None:
    """What a class or a partial of one takes; None for a function or an instance."""
    made = target.func if isinstance(target, functools.partial) else target
    if not isinstance(made, type):
        return None
    if not issubclass(made, base):
        raise InvalidArgumentError(
            f"{label!r} is the class {made.__name__}, which is not a lightning.pytorch.{base.__name__}"
            f"{foreign_hint(made)}"
        )
    return Keywords.of(target)


def _build(label: str, target: Callable[..., Any], keywords: Keywords | None, config: Config) -> Any:
    if keywords is None:
        return target(copy.deepcopy(dict(config)))  # choices are the space's own, and may be lists
    missing = [name for name in keywords.required if name not in config]
    if missing:
        raise InvalidArgumentError(
            f"{label!r}: {_name(target)} requires {_listed(missing)}, but the configuration has only {_listed(config)} "
            "(a conditional hyperparameter is absent where it is inactive); give it a default"
        )
    return target(**copy.deepcopy(keywords.select(config)))


def _check_new(module: pl.LightningModule) -> None:
    """Raise an InvalidArgumentError if `module`, or a part of it that is trained, was handed out before."""
    parts = {name: part for name, part in module.named_parameters() if part.requires_grad}
    for name, part in {"": module, **parts}.items():
        if _handed_out.get(id(part)) is part:
            what = f"with the same parameter {name!r}" if name else "that was returned before"
            raise InvalidArgumentError(
                f"'module' returned a {type(module).__name__} {what}, so that weights leak from trial to trial; make "
                "new layers each time, as in lambda config: Net(**config)"
            )
    _handed_out.update({id(part): part for part in (module, *parts.values())})


def _wrong_type(label: str, expected: type, built: object) -> str:
    made = type(built)
    return (
        f"{label!r} returned a {made.__name__} where a lightning.pytorch.{expected.__name__} was expected"
        f"{foreign_hint(made)}"
    )


def _are_loaders(data: Any) -> bool:
    return isinstance(data, (tuple, Mapping, DataLoader))


def _by_stage(data: Any) -> dict[str, Any]:
    if isinstance(data, DataLoader):
        return {"train": data}
    if isinstance(data, Mapping):
        unknown = [key for key in data if key not in _STAGES]
        if unknown or "train" not in data:
            raise InvalidArgumentError(
                f"'datamodule' given as a dict of dataloaders must have the key 'train' and may have 'val' and 'test', "
                f"got the keys {_listed(data)}"
            )
        loaders = dict(data)
    else:
        if not 1 <= len(data) <= len(_STAGES):
            raise InvalidArgumentError(
                "'datamodule' given as a tuple must be (train,), (train, val) or (train, val, test), got "
                f"{len(data)} items"
            )
        loaders = dict(zip(_STAGES, data, strict=False))
    return {stage: loader for stage, loader in loaders.items() if loader is not None}


def _name(target: Any) -> str:
    made = target.func if isinstance(target, functools.partial) else target
    return str(getattr(made, "__name__", type(made).__name__))


def _listed(names: Collection[str]) -> str:
    return ", ".join(repr(name) for name in names) or "nothing"
