"""Builds the LightningModule and the data of a configuration."""

from __future__ import annotations

import copy
import functools
import inspect
import uuid
import weakref
from collections.abc import Callable, Collection
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.utilities.compile import from_compiled, to_uncompiled
from lightning.pytorch.utilities.model_helpers import is_overridden
from torch._dynamo import OptimizedModule
from torch.nn.parameter import is_lazy

from lightning_primo.checks import shown
from lightning_primo.errors import InvalidArgumentError, NotMeasurableError
from lightning_primo.factory.keywords import Keywords, listed
from lightning_primo.factory.loaders import LoadersDataModule, are_loaders, by_stage
from lightning_primo.factory.module_setup import TrainerNeededError, set_up
from lightning_primo.factory.ready_data import prepare_once, set_up_once
from lightning_primo.factory.watched_config import WatchedConfig
from lightning_primo.namespaces import foreign_hint
from lightning_primo.problem.trial import Config, configuration_key

# Modules handed out, and their parameters that are trained, by their ids; those that are gone leave it by themselves.
_handed_out: weakref.WeakValueDictionary[int, Any] = weakref.WeakValueDictionary()


class Factory:
    """Builds the LightningModule and the data of a configuration.

    Args:
        module: A function ``config -> LightningModule``, or a LightningModule class (or a `functools.partial` of one),
            which is given the hyperparameters that its ``__init__`` takes; other arguments keep their defaults.
        data: Where the data come from: a LightningDataModule for all configurations; a class of these, treated like a
            module class; a function ``config -> LightningDataModule``; dataloaders as a dict with the keys ``"train"``,
            ``"val"`` and ``"test"`` or as a tuple in this order; or None if the module has its own.

        example_inputs: What every module is called with to measure it, in place of what it and the data say: as for
            `measure.call`, or a function of the configuration that gives it.

    A data module that is given as an instance is copied for every trial, but what its attributes refer to is shared:
    a data set in memory exists once, and `setup` is called anew on each copy.

    Raises:
        InvalidArgumentError: If an argument is none of these.
    """

    def __init__(self, module: Callable[..., Any], data: Any = None, *, example_inputs: Any = None) -> None:
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
        self.example_inputs = example_inputs
        self._identity = uuid.uuid4().hex  # of its copies in other processes too
        self._data = LoadersDataModule(by_stage(data)) if are_loaders(data) else data
        if not (self._data is None or isinstance(self._data, pl.LightningDataModule) or callable(self._data)):
            raise InvalidArgumentError(
                "'datamodule' must be a LightningDataModule, a class of these, a function config -> "
                f"LightningDataModule, dataloaders as a dict or tuple (train, val, test), or None, got {shown(data)}"
            )
        self._module_keywords = _keywords(module, pl.LightningModule, "module")
        self._data_keywords = _keywords(self._data, pl.LightningDataModule, "datamodule")
        if self._module_keywords is None:
            _check_takes_config(module, "module")
        if self._data_keywords is None and not isinstance(self._data, pl.LightningDataModule):
            _check_takes_config(self._data, "datamodule")

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
                    f"{label!r}: {_name(target)} requires {listed(missing)}, which the space does not have (it has: "
                    f"{listed(names)}); give a default, functools.partial({_name(target)}, {missing[0]}=...), or a "
                    "function of the configuration"
                )
        data_is_function = callable(self._data) and self._data_keywords is None
        is_read = read_elsewhere or self._module_keywords is None or data_is_function
        if is_read or any(keywords.any for _, _, keywords in classes):
            return
        taken = {name for _, _, keywords in classes for name in keywords.accepted}
        ignored = [name for name in names if name not in taken]
        if ignored:
            accepts = "; ".join(
                f"{_name(target)} takes {listed(kw.accepted)}{' and does nothing with other **kwargs' * kw.drops}"
                for _, target, kw in classes
            )
            raise InvalidArgumentError(
                f"nothing takes the hyperparameter {listed(ignored)} of the space: {accepts}. Add it to an __init__, "
                "remove it from the space, or give 'module' as a function of the configuration"
            )

    def module(self, config: Config) -> pl.LightningModule:
        """A new module for `config`.

        Raises:
            InvalidArgumentError: If a required argument is missing in `config`, no LightningModule was built, or one
                that shares what is trained with one handed out before.
        """
        built = _build("module", self._module, self._module_keywords, config)
        if isinstance(built, OptimizedModule) and isinstance(built._orig_mod, pl.LightningModule):
            built = from_compiled(built)
        if not isinstance(built, pl.LightningModule):
            raise InvalidArgumentError(_wrong_type("module", pl.LightningModule, built))
        _check_new(built)
        return built

    def whole_module(self, config: Config, *, with_setup: bool = True) -> pl.LightningModule:
        """A module with the layers of `setup` and `configure_model` too, to be measured or given weights.

        A `setup` that asks its Trainer for more than the data module can't be called here. It is taken to make no
        layers then, which `require_whole` finds out when there is a Trainer.

        Args:
            config: The configuration.
            with_setup: Whether `setup` is called, where the module has one: it may load the data.

        Raises:
            InvalidArgumentError: As for `module`.
            NotMeasurableError: If `setup` fails without a Trainer.
        """
        return self._whole(config, lambda: set_up_once(self.data_key(config), lambda: self.data(config)), with_setup)

    def _whole(
        self, config: Config, data: Callable[[], pl.LightningDataModule | None], with_setup: bool = True
    ) -> pl.LightningModule:
        module = self.module(config)
        if module._compiler_ctx is not None:  # what is compiled is neither measured nor loaded
            module = to_uncompiled(module)
        if with_setup and is_overridden("setup", module):
            try:
                prepare_once(self._identity, module)
                set_up(module, data)
            except TrainerNeededError:
                module = self.module(config)
        made_on_meta = module.device.type == "meta" and torch.get_default_device().type != "meta"
        if made_on_meta and not any(value.is_meta for value in module.state_dict().values()):
            module.cpu()  # as a Trainer does where configure_model makes the layers
        module.configure_model()
        return module

    def require_whole(self, module: pl.LightningModule, config: Config) -> None:
        """Raise unless `module`, to which a Trainer is attached and which is set up, is as `whole_module` makes it.

        Raises:
            NotMeasurableError: If it has other parameters, so that its costs would be measured wrongly.
        """
        if not is_overridden("setup", module):
            return
        whole = _shapes(self._whole(config, lambda: module.trainer.datamodule))  # type: ignore[attr-defined]
        differing = sorted(name for name, shape in _shapes(module).items() if name not in whole or whole[name] != shape)
        if differing:
            raise NotMeasurableError(
                f"{type(module).__name__} has other parameters in training than can be measured without a Trainer: "
                f"{listed(differing[:5])}. Its setup() makes them from what only a Trainer knows; make these layers "
                "in __init__ or configure_model(), or from self.trainer.datamodule alone"
            )

    def data_key(self, config: Config) -> str:
        """The same for all configurations that have the same data, in every process that has a copy of this factory.

        A data module that is given as an instance is that of all, a class reads what its ``__init__`` takes, and a
        function is taken to read everything.
        """
        if self._data is None or isinstance(self._data, pl.LightningDataModule):
            read: Config = {}
        else:
            read = config if self._data_keywords is None else self._data_keywords.select(config)
        return f"{self._identity} {configuration_key(read)}"

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
        if are_loaders(built):
            return LoadersDataModule(by_stage(built))
        if built is not None and not isinstance(built, pl.LightningDataModule):
            raise InvalidArgumentError(_wrong_type("datamodule", pl.LightningDataModule, built))
        return built


def _shapes(module: pl.LightningModule) -> dict[str, tuple[int, ...] | None]:
    """The shapes of the parameters by name; None for those that are not known before a first call."""
    return {name: None if is_lazy(p) else tuple(p.shape) for name, p in module.named_parameters()}


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


def _check_takes_config(function: Any, label: str) -> None:
    """Raise an InvalidArgumentError if a function cannot be called with a configuration."""
    try:
        # That of a decorator's function itself, which may take another argument than the one that it wraps.
        signature = inspect.signature(function, follow_wrapped=False)
    except (TypeError, ValueError):  # None, or one that is not written in Python
        return
    try:
        signature.bind({})
    except TypeError as error:
        raise InvalidArgumentError(
            f"{label!r} must take the configuration as its only argument, but {_name(function)}{signature} cannot be "
            f"called so ({error}); give lambda config: {_name(function)}(...)"
        ) from None


def _build(label: str, target: Callable[..., Any], keywords: Keywords | None, config: Config) -> Any:
    if keywords is None:  # choices are the space's own, and may be lists
        return target(config.again() if isinstance(config, WatchedConfig) else copy.deepcopy(dict(config)))
    missing = [name for name in keywords.required if name not in config]
    if missing:
        raise InvalidArgumentError(
            f"{label!r}: {_name(target)} requires {listed(missing)}, but the configuration has only {listed(config)} "
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


def _name(target: Any) -> str:
    made = target.func if isinstance(target, functools.partial) else target
    return str(getattr(made, "__name__", type(made).__name__))
