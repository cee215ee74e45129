"""The states of torchmetrics that go on from epoch to epoch, which a checkpoint of Lightning's does not hold.

A module that follows the best accuracy so far in a ``MaxMetric`` begins it anew where it goes on from a checkpoint, so
that a promoted trial would be compared by another value than one that never stopped. Many also reset such metrics in
``on_train_start``, after sanity checks: states are therefore put back only behind that.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from weakref import WeakValueDictionary

import lightning.pytorch as pl
from lightning.pytorch.utilities import rank_zero_warn
from torch import nn
from torchmetrics import Metric
from typing_extensions import override

from lightning_primo.callbacks.optimizer_settings import same
from lightning_primo.errors import CheckpointWarning
from lightning_primo.training.carried_state.late_state import LateState
from lightning_primo.training.carried_state.metrics.metric_contents import (
    MetricsMade,
    bring_up_to_date,
    contents,
    is_portable,
    is_unused,
    put_into,
)
from lightning_primo.training.carried_state.metrics.metric_trackers import lengthen, original, trackers


class MetricStates(LateState):
    """Keeps in checkpoints the states of a module's metrics, but for those that Lightning resets with each epoch.

    These are the ones that are logged as objects, by ``self.log("train_acc", self.train_acc)``. Left out are also those
    that have seen nothing, and those with states that are neither tensors nor lists of tensors. What a metric keeps in
    numbers beside its states is among the `CarriedNumbers`.

    A `MetricTracker` makes what it had made (`metric_trackers`). Of other metrics that a module makes in the course of
    a training a CheckpointWarning says once that they begin anew, if they have lasted from one epoch to the next: those
    that are made for one epoch or validation are not kept.
    """

    def __init__(self) -> None:
        super().__init__()
        self._made = MetricsMade()
        self._names: frozenset[str] = frozenset()  # of the module's parts as the fit starts
        self._lasting: Mapping[str, nn.Module] = {}  # those of the open epoch's start, as far as they are left

    @property
    @override
    def state_key(self) -> str:
        return "lightning_primo.metrics"

    @override
    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        super().on_fit_start(trainer, pl_module)
        self._made.note(pl_module)
        self._names = frozenset(name for name, _ in pl_module.named_modules(remove_duplicate=False))

    @override
    def begin(self, pl_module: pl.LightningModule) -> None:
        self._lasting = WeakValueDictionary(pl_module.named_modules())

    @override
    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        super().on_train_epoch_start(trainer, pl_module)
        self._lasting = WeakValueDictionary(pl_module.named_modules())

    @override
    def state(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> dict[str, Any]:
        bring_up_to_date(pl_module)
        reset = {id(metric) for metric in _logged_as_objects(trainer)}
        lasting = {id(part) for part in self._lasting.values()}
        lasting |= {id(part) for name, part in pl_module.named_modules() if original(name, pl_module) in self._names}
        used = {
            name: metric
            for name, metric in _metrics(pl_module)
            if id(metric) in lasting and id(metric) not in reset and not is_unused(metric)
        }
        metrics = {
            name: {"made": self._made_with(name, metric, pl_module), **contents(metric)}
            for name, metric in used.items()
            if is_portable(metric)
        }
        whole = {
            name: tracker.n_steps
            for name, tracker in trackers(pl_module)
            if tracker.n_steps and id(tracker) in lasting and _of(name, used).keys() <= metrics.keys()
        }
        return {"metrics": metrics, "trackers": whole} if metrics or whole else {}

    @override
    def names(self, state: dict[str, Any]) -> Iterable[str]:
        return {*state["metrics"], *state["trackers"]}

    @override
    def put_back(self, pl_module: pl.LightningModule, state: dict[str, Any]) -> None:
        saved: dict[str, Any] = state["metrics"]
        for tracker_name, tracker in list(trackers(pl_module)):
            tracked = _of(tracker_name, saved)
            made = {name: self._made.noted(original(name, pl_module)) for name in tracked}
            if all(own and self.belongs(tracked[name]["made"], own) for name, own in made.items()):
                lengthen(tracker, state["trackers"].get(tracker_name, 0))
        metrics = dict(_metrics(pl_module))
        for name, of_metric in saved.items():
            if name in metrics and self.belongs(of_metric["made"], self._made_with(name, metrics[name], pl_module)):
                put_into(metrics[name], of_metric)
        lacking = [name for name in saved if name not in metrics]
        if lacking:
            self.tell_of(lacking, pl_module)

    def belongs(self, saved: dict[str, Any], own: dict[str, Any]) -> bool:
        """Whether a state belongs to a metric, by what both were made with: the same names of states are enough here.

        The module is built from the same configuration, and what else its metrics begin with may be of the time.
        """
        return set(saved["states"]) == set(own["states"])

    def tell_of(self, lacking: list[str], pl_module: pl.LightningModule) -> None:
        """Tell of metrics that were saved and that the module does not have."""
        _warn_of_late_metrics(type(pl_module).__name__, ", ".join(map(repr, lacking)))

    def _made_with(self, name: str, metric: Metric, module: pl.LightningModule) -> dict[str, Any]:
        return self._made.of(metric, name, original(name, module))


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

    @override
    def tell_of(self, lacking: list[str], pl_module: pl.LightningModule) -> None:
        """Nothing: a module of other hyperparameters may have other metrics."""


def _metrics(module: pl.LightningModule) -> Iterator[tuple[str, Metric]]:
    return ((name, part) for name, part in module.named_modules() if isinstance(part, Metric))


def _of(tracker: str, by_name: Mapping[str, Any]) -> dict[str, Any]:
    """What belongs to the parts of a tracker."""
    return {name: value for name, value in by_name.items() if name.startswith(f"{tracker}.")}


def _logged_as_objects(trainer: pl.Trainer) -> Iterator[Metric]:
    loops = (trainer.fit_loop.epoch_loop, trainer.fit_loop.epoch_loop.val_loop)
    for logged in (logged for loop in loops for logged in loop._results.values()):
        if not logged.is_tensor:
            yield from (part for part in logged.value.modules() if isinstance(part, Metric))


@functools.cache
def _warn_of_late_metrics(module: str, names: str) -> None:
    rank_zero_warn(
        f"{module} goes on from a checkpoint without the states of its metrics {names}, which were made in the course "
        "of the training and begin anew; make them in the constructor, or let a MetricTracker make them",
        category=CheckpointWarning,
    )
