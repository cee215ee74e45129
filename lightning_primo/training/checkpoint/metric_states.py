"""The states of torchmetrics that go on from epoch to epoch, which a checkpoint of Lightning's does not hold.

A module that follows the best accuracy so far in a ``MaxMetric`` begins it anew where it goes on from a checkpoint, so
that a promoted trial would be compared by another value than one that never stopped. Many also reset such metrics in
``on_train_start``, after sanity checks: states are therefore put back only behind that.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import lightning.pytorch as pl
import torch
from torchmetrics import Metric, MetricCollection
from typing_extensions import override

from lightning_primo.callbacks.optimizer_settings import same
from lightning_primo.training.checkpoint.carried_numbers import vars_of_bare_metric
from lightning_primo.training.checkpoint.late_state import LateState


class MetricStates(LateState):
    """Keeps in checkpoints the states of a module's metrics, but for those that Lightning resets with each epoch.

    These are the ones that are logged as objects, by ``self.log("train_acc", self.train_acc)``. Left out are also those
    that have seen nothing, and those with states that are neither tensors nor lists of tensors. What a metric keeps in
    numbers beside its states is among the `CarriedNumbers`.
    """

    def __init__(self) -> None:
        super().__init__()
        self._made: dict[str, dict[str, Any]] = {}

    @property
    @override
    def state_key(self) -> str:
        return "lightning_primo.metric_states"

    @override
    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        super().on_fit_start(trainer, pl_module)
        self._made = {name: _made(metric) for name, metric in _metrics(pl_module)}

    @override
    def state(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> dict[str, Any]:
        for part in pl_module.modules():
            if isinstance(part, MetricCollection):
                part.items()  # which brings those up to date that share a state with another one
        reset = {id(metric) for metric in _logged_as_objects(trainer)}
        return {
            name: {
                "made": self._made.get(name) or _made(metric),
                "update_count": metric.update_count,
                "values": _copied(metric.metric_state),
            }
            for name, metric in _metrics(pl_module)
            if id(metric) not in reset and _portable(metric) and not _unused(metric)
        }

    @override
    def put_back(self, pl_module: pl.LightningModule, state: dict[str, Any]) -> None:
        for name, metric in _metrics(pl_module):
            of_metric = state.get(name)
            if of_metric is None or not self.belongs(of_metric["made"], self._made.get(name) or _made(metric)):
                continue
            metric.reset()
            metric._update_count = of_metric["update_count"]
            for attribute, value in of_metric["values"].items():
                setattr(metric, attribute, _moved(value, metric.device))

    def belongs(self, saved: dict[str, Any], own: dict[str, Any]) -> bool:
        """Whether a state belongs to a metric, by what both were made with: the same names of states are enough here.

        The module is built from the same configuration, and what else its metrics begin with may be of the time.
        """
        return set(saved["states"]) == set(own["states"])


class InheritedMetricStates(MetricStates):
    """The same for a module with other hyperparameters than the one that was saved, as of a trial that takes over.

    A metric goes on only if it is of the class of the saved one, and was made alike: states that begin with the same
    shapes and values, and the same plain settings, such as a threshold. Counts of other classes or bins, or by another
    threshold, mean nothing to it. One that was made otherwise begins anew, as numbers do (`CarriedNumbers`).
    """

    @override
    def belongs(self, saved: dict[str, Any], own: dict[str, Any]) -> bool:
        """Whether both were made alike."""
        return same(saved, own)


def _made(metric: Metric) -> dict[str, Any]:
    """What tells how a metric was made: its class, what its states begin with, and its plain settings."""
    others = {*metric._defaults, *vars_of_bare_metric()}
    return {
        "class": type(metric).__qualname__,
        "states": {name: _moved(default, torch.device("cpu")) for name, default in metric._defaults.items()},
        "settings": {
            name: value
            for name, value in vars(metric).items()
            if name not in others and (value is None or type(value) in (bool, int, float, str))
        },
    }


def _metrics(module: pl.LightningModule) -> Iterator[tuple[str, Metric]]:
    return ((name, part) for name, part in module.named_modules() if isinstance(part, Metric))


def _logged_as_objects(trainer: pl.Trainer) -> Iterator[Metric]:
    loops = (trainer.fit_loop.epoch_loop, trainer.fit_loop.epoch_loop.val_loop)
    for logged in (logged for loop in loops for logged in loop._results.values()):
        if not logged.is_tensor:
            yield from (part for part in logged.value.modules() if isinstance(part, Metric))


def _portable(metric: Metric) -> bool:
    states = metric.metric_state.values()
    parts = [part for state in states for part in (state if isinstance(state, list) else [state])]
    return all(isinstance(part, torch.Tensor) and not part.is_meta for part in parts)


def _unused(metric: Metric) -> bool:
    """Whether a metric has seen nothing; the count alone does not tell, as `Running` has a `forward` of its own."""
    if metric.update_count:
        return False
    for name, state in metric.metric_state.items():
        default = metric._defaults[name]
        if isinstance(state, list) or isinstance(default, list):
            if isinstance(state, torch.Tensor) or state:
                return False
        elif state.shape != default.shape or not bool((state == default.to(state.device)).all()):
            return False
    return True


def _copied(state: dict[str, Any]) -> dict[str, Any]:
    return {name: _moved(value, torch.device("cpu")) for name, value in state.items()}


def _moved(value: Any, device: torch.device) -> Any:
    if isinstance(value, torch.Tensor):
        return value.detach().as_subclass(torch.Tensor).to(device, copy=True)
    return [_moved(part, device) for part in value]
