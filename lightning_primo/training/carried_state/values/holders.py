"""The objects whose attributes a training may change: the parts of a module, and what these and other things hold."""

from __future__ import annotations

import collections
import dis
import functools
import sys
import types
import weakref
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import Callback
from torch import nn
from torch.utils.data import DataLoader, Dataset, Sampler
from torchmetrics import Metric, MetricCollection

MOST_ENTRIES = 64  # of a container that is looked through for objects
_MOST_OBJECTS = 1000  # that are no modules
_DEPTH = 6
_LOADED_BY = ("dataset", "batch_sampler", "sampler", "collate_fn")
_DATA = (Dataset, Sampler, DataLoader, pl.LightningDataModule)
_CACHES = {"_memoize_cache"}  # of linear_operator, in the modules of GPyTorch
_LIGHTNING = {"lightning", "pytorch_lightning", "lightning_fabric"}
_OF_LIBRARIES = {"torch", *_LIGHTNING, "torchmetrics", "numpy", "pandas"}


@dataclass(frozen=True)
class Holder:
    """An object with attributes.

    Args:
        path: How it is reached, as users write it.
        value: The object.
        others: Names of attributes that are none of its own.
    """

    path: str
    value: Any
    others: Collection[str] = ()

    def attributes(self) -> Iterator[tuple[str, Any]]:
        """Its own attributes by name."""
        for key, value in list(vars(self.value).items()):
            own = key not in self.others and not key.startswith("_hparams")
            if own and is_state(self.value, key, value):
                yield key, value


def holders_of(
    roots: Mapping[str, Any],
    *,
    seen: Iterable[Any] = (),
    data: bool = False,
    kept: Iterable[Any] = (),
    stateful: dict[str, Any] | None = None,
) -> Iterator[Holder]:
    """The objects that are reached from others, each once, under the first name that is found.

    Objects of torch and of the standard library are left alone, but for data sets and samplers, through which those of
    users are reached; so are metrics, and the Trainer.

    Args:
        roots: Where to begin, by name.
        seen: What is not to be looked at.
        data: Whether data sets, samplers and loaders are looked at that others hold.
        kept: What has a state that is kept anyway.
        stateful: Gets all else that has a ``state_dict`` and a ``load_state_dict``, by name.
    """
    known, kept_ids = {id(value) for value in seen}, {id(value) for value in kept}
    pending = collections.deque((path, value, 0) for path, value in roots.items())
    n_objects = 0
    while pending and n_objects < _MOST_OBJECTS:
        path, value, depth = pending.popleft()
        if id(value) in known or depth > _DEPTH or (not data and depth and isinstance(value, _DATA)):
            continue
        known.add(id(value))
        if stateful is not None and path not in roots and has_state(value) and id(value) not in kept_ids:
            stateful[path] = value
            kept_ids.update(map(id, value.modules() if isinstance(value, nn.Module) else ()))
        entries = [*_entries(path, value)]
        if isinstance(value, DataLoader):
            if type(value).__module__.partition(".")[0] not in _OF_LIBRARIES:
                yield Holder(path, value, _of_bare_loader())
        elif _is_looked_into(value):
            n_objects += not isinstance(value, nn.Module)
            holder = Holder(path, value, _others(value))
            yield holder
            entries += ((f"{path}.{key}".lstrip("."), entry) for key, entry in holder.attributes())
            if isinstance(value, nn.Module):
                entries += ((f"{path}.{name}".lstrip("."), part) for name, part in value.named_children())
        pending.extend((name, entry, depth + (not isinstance(entry, nn.Module))) for name, entry in entries)


def _entries(path: str, value: Any) -> Iterator[tuple[str, Any]]:
    """What something holds otherwise than in attributes, by name."""
    if isinstance(value, (list, tuple)):
        yield from ((f"{path}[{i}]", entry) for i, entry in enumerate(value[:MOST_ENTRIES]))
    elif isinstance(value, dict):
        yield from ((f"{path}[{key!r}]", entry) for key, entry in list(value.items())[:MOST_ENTRIES])
    elif isinstance(value, types.MethodType):
        yield path, value.__self__
    elif isinstance(value, DataLoader):
        yield from ((f"{path}.{key}", getattr(value, key, None)) for key in _LOADED_BY)


def is_state(holder: Any, key: str, value: Any) -> bool:
    """Whether an attribute may be one's own state.

    A ``cached_property`` and other caches follow from others, from hyperparameters perhaps; what a weak reference is of
    may be gone.
    """
    if key in _CACHES or type(value) in weakref.ProxyTypes:
        return False
    return not any(isinstance(vars(kind).get(key), functools.cached_property) for kind in type(holder).__mro__)


def has_state(value: Any) -> bool:
    """Whether it has a state that it gives and takes, and is no metric, which `MetricStates` sees to."""
    if isinstance(value, (Metric, MetricCollection, pl.Trainer, type)):
        return False
    if type(value).__module__.partition(".")[0] in _LIGHTNING and not isinstance(value, nn.Module):
        return False  # loops, strategies and the like, which the Trainer sees to
    return all(callable(getattr(type(value), name, None)) for name in ("state_dict", "load_state_dict"))


def _is_looked_into(value: Any) -> bool:
    if isinstance(value, (Metric, MetricCollection, pl.Trainer, type, types.ModuleType, types.FunctionType)):
        return False
    top = type(value).__module__.partition(".")[0]
    is_of_library = top in _OF_LIBRARIES or top in sys.stdlib_module_names
    if is_of_library and not isinstance(value, (nn.Module, Dataset, Sampler)):
        return False
    try:
        attributes = object.__getattribute__(value, "__dict__")  # which asks no __getattr__ that answers to any name
    except AttributeError:
        return False
    return isinstance(attributes, dict) and attributes is not value


def _others(value: Any) -> Collection[str]:
    if isinstance(value, nn.Module):
        return _of_bare_module()
    if isinstance(value, pl.LightningDataModule):
        return {*vars(pl.LightningDataModule()), "trainer"}
    if isinstance(value, Callback):
        return _set_with_state(type(value))  # type: ignore[arg-type]
    if isinstance(value, Sampler):
        return {"generator"}  # which is seeded for each epoch
    if isinstance(value, torch.optim.Optimizer):
        return _of_bare_optimizer()
    return ()


def state_definer(kind: type) -> type:
    """The class that defines the ``state_dict`` which callbacks of a class have."""
    return next(base for base in kind.__mro__ if "state_dict" in vars(base))


@functools.cache
def _set_with_state(kind: type) -> frozenset[str]:
    """The names of attributes that are set by the class which defines a callback's ``state_dict``, or by its bases.

    Whoever wrote that has said what of them is kept. What a subclass adds, such as a counter of early stops, he could
    not know of.
    """
    mro = kind.__mro__
    members = [member for base in mro[mro.index(state_definer(kind)) :] for member in vars(base).values()]
    members = [getattr(member, "fget", None) or getattr(member, "__func__", member) for member in members]
    return frozenset(name for member in members for name in _stored(getattr(member, "__code__", None)))


def _stored(code: types.CodeType | None) -> Iterator[str]:
    """The names of attributes that a function sets."""
    if code is None:
        return
    yield from (step.argval for step in dis.get_instructions(code) if step.opname == "STORE_ATTR")
    for part in code.co_consts:
        if isinstance(part, types.CodeType):
            yield from _stored(part)


@functools.cache
def _of_bare_module() -> frozenset[str]:
    return _names(pl.LightningModule(), nn.Module())


@functools.cache
def _of_bare_loader() -> frozenset[str]:
    return _names(DataLoader([0]))  # type: ignore[arg-type]


@functools.cache
def _of_bare_optimizer() -> frozenset[str]:
    return _names(torch.optim.SGD([nn.Parameter(torch.zeros(()))])) | {"step", "_step_count", "_opt_called"}


def _names(*values: Any) -> frozenset[str]:
    return frozenset(name for value in values for name in vars(value))
