"""What a module is called with to measure it, before there is a Trainer and in a fit.

That is what the user gives as `example_inputs`, for an objective or the whole search, else its `example_input_array`,
else the inputs of a batch of one sample of the train dataloader, passed through the batch transfer hooks of the data
module or module. The global generators are put back.

Data may take long to be prepared and set up, so the batch of a configuration of the data is drawn once per process.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.utilities.model_helpers import is_overridden

from lightning_primo.errors import NotMeasurableError
from lightning_primo.factory import Factory
from lightning_primo.factory.ready_data import already_set_up, called_alone
from lightning_primo.measure.batches import draws_one, sample_batch, several_batches
from lightning_primo.measure.inputs import REMEDY, model_inputs, one_sample, to_device
from lightning_primo.measure.isolation import rng_kept
from lightning_primo.problem.trial import Config


def given_inputs(given: Any, config: Config) -> Any:
    """`example_inputs` as the user gave them for `config`: called with it if they are a function.

    Raises:
        NotMeasurableError: If the function fails or returns nothing.
    """
    if isinstance(given, (torch.Tensor, Mapping, tuple, list)) or not callable(given):
        return given
    try:
        with rng_kept():
            inputs = given(dict(config))
    except Exception as error:
        raise NotMeasurableError(
            f"'example_inputs', a function of the configuration, failed for {dict(config)}: {type(error).__name__}: "
            f"{error}"
        ) from error
    if inputs is None:
        raise NotMeasurableError(f"'example_inputs', a function of the configuration, returned None for {dict(config)}")
    return inputs


def inputs_before_training(
    factory: Factory, config: Config, module: pl.LightningModule, objective_inputs: Any = None
) -> Any:
    """The inputs before there is a Trainer: of the objective, else of the search, else of the module or its data.

    Args:
        factory: Of the search.
        config: The configuration.
        module: As the factory built it, on any device.
        objective_inputs: The objective's own `example_inputs`.

    Raises:
        NotMeasurableError: If there are none; the message says how to give them.
    """
    for given in (objective_inputs, factory.example_inputs):
        if given is not None:
            return given_inputs(given, config)
    if module.example_input_array is not None:
        return module.example_input_array
    key = factory.data_key(config)
    if key in _kept and _kept[key].fits(module):
        return _inputs(_kept[key].copied(), module)
    ready = already_set_up(key)
    data = factory.data(config) if ready is None else ready
    if data is None:  # the module makes its own, is set up for that, and must not make the measured one's layers anew
        return example_inputs(factory.module(config), None)
    drawn = _draw(module, data, set_up=ready is None)
    if drawn.fits(module):
        _keep(key, drawn)
    return _inputs(drawn, module)


def example_inputs(module: pl.LightningModule, data: pl.LightningDataModule | None) -> Any:
    """The inputs before there is a Trainer, on the CPU if they are of a batch.

    Args:
        module: The module that is to be called.
        data: Its data, which are prepared and set up for this; None if the module makes its own.

    Raises:
        NotMeasurableError: If there is no such batch; the message says how to set `example_input_array`.
    """
    if module.example_input_array is not None:
        return module.example_input_array
    return _inputs(_draw(module, data), module)


@dataclass(frozen=True)
class _Drawn:
    """A batch of training data on its way to a module.

    Args:
        batch: The batch.
        hooks: Names of the module's hooks that it has still to pass.
        passed: Names of those that come before one of the data module's, which it has passed.
        of_one: Whether it is drawn as one sample.
    """

    batch: Any
    hooks: tuple[str, ...]
    passed: tuple[str, ...]
    of_one: bool

    def fits(self, module: pl.LightningModule) -> bool:
        """Whether `module` has no hook that the batch should have passed before."""
        return not any(is_overridden(hook, module) for hook in self.passed)

    def copied(self) -> _Drawn:
        """Another one, for hooks that change what they are given."""
        return replace(self, batch=copy.deepcopy(self.batch))


_HOOKS = ("on_before_batch_transfer", "on_after_batch_transfer")
_MOST_KEPT = 16
_kept: dict[str, _Drawn] = {}
"""The batches of this process by `Factory.data_key`, the latest."""


def _keep(key: str, drawn: _Drawn) -> None:
    try:
        kept = drawn.copied()
    except Exception:  # of the user's classes; what cannot be copied is drawn anew
        return
    while len(_kept) >= _MOST_KEPT:
        del _kept[next(iter(_kept))]
    _kept[key] = kept


def _draw(module: pl.LightningModule, data: pl.LightningDataModule | None, *, set_up: bool = True) -> _Drawn:
    source = module if data is None else data
    with _explained(module), rng_kept():
        if set_up:
            _call(source, "prepare_data")
            _call(source, "setup", "fit")
        loader = _call(source, "train_dataloader")
        batch = sample_batch(loader)
        of_data = [_is_of_data(hook, data) for hook in _HOOKS]
        n_passed = max((index + 1 for index, is_of_data in enumerate(of_data) if is_of_data), default=0)
        for hook in _HOOKS[:n_passed]:
            batch = _hooked(hook, batch, module, data)
        passed = tuple(hook for hook, is_of_data in zip(_HOOKS[:n_passed], of_data, strict=False) if not is_of_data)
        return _Drawn(batch, _HOOKS[n_passed:], passed, draws_one(loader))


def _call(source: pl.LightningModule | pl.LightningDataModule, method: str, *args: Any) -> Any:
    if isinstance(source, pl.LightningDataModule):
        return called_alone(source, method, *args)
    return getattr(source, method)(*args)


def _inputs(drawn: _Drawn, module: pl.LightningModule) -> Any:
    batch = drawn.batch
    with _explained(module), rng_kept():
        for hook in drawn.hooks:
            batch = _hooked(hook, batch, module, None)
    inputs = model_inputs(batch, module)
    return one_sample(inputs) if drawn.of_one else inputs


@contextmanager
def _explained(module: pl.LightningModule) -> Iterator[None]:
    try:
        yield
    except NotMeasurableError:
        raise
    except Exception as error:
        raise NotMeasurableError(
            f"no batch of training data could be drawn to measure {type(module).__name__} with: "
            f"{type(error).__name__}: {error}; {REMEDY}"
        ) from error


def fit_inputs(trainer: pl.Trainer, pl_module: pl.LightningModule, given: Any = None) -> Any:
    """The inputs in a fit, on the module's device.

    Args:
        trainer: Of the fit.
        pl_module: Its module.
        given: The objective's `example_inputs`; a function gets the module's `hparams`.

    The dataloader's iterator, sampler, workers and generators are not touched.

    Raises:
        NotMeasurableError: If the dataloader yields nothing that can be taken for the inputs; the message says how
            to set `example_input_array`.
    """
    if given is not None:
        return to_device(given_inputs(given, dict(pl_module.hparams)), pl_module.device)
    if pl_module.example_input_array is not None:
        return to_device(pl_module.example_input_array, pl_module.device)
    with rng_kept(pl_module.device):
        batch = trainer.precision_plugin.convert_input(sample_batch(trainer.train_dataloader))
        data = trainer.datamodule  # type: ignore[attr-defined]
        batch = _hooked("on_before_batch_transfer", batch, pl_module, data)
        batch = trainer.strategy.batch_to_device(batch, dataloader_idx=0)
    inputs = model_inputs(batch, pl_module)
    return one_sample(inputs) if draws_one(trainer.train_dataloader) else inputs


def fit_batches(trainer: pl.Trainer, pl_module: pl.LightningModule, n: int) -> list[Any]:
    """The inputs of `n` batches of the training data in a fit, on the module's device; fewer where there are fewer.

    They are drawn at random, always the same; the dataloader is not touched, as in `fit_inputs`.

    Raises:
        NotMeasurableError: As `fit_inputs`.
    """
    if n == 0:
        return []
    with rng_kept(pl_module.device):
        data = trainer.datamodule  # type: ignore[attr-defined]
        inputs = []
        for drawn in several_batches(trainer.train_dataloader, n):
            batch = trainer.precision_plugin.convert_input(drawn)
            batch = _hooked("on_before_batch_transfer", batch, pl_module, data)
            batch = trainer.strategy.batch_to_device(batch, dataloader_idx=0)
            inputs.append(model_inputs(batch, pl_module))
    return inputs


def _is_of_data(hook: str, data: pl.LightningDataModule | None) -> bool:
    return data is not None and is_overridden(hook, data)


def _hooked(hook: str, batch: Any, module: pl.LightningModule, data: pl.LightningDataModule | None) -> Any:
    owner = data if data is not None and is_overridden(hook, data) else module
    return getattr(owner, hook)(batch, dataloader_idx=0)
