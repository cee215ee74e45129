"""A metric of torchmetrics, updated with what the validation steps return, as an objective."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import lightning.pytorch as pl
import torch
import torchmetrics
from typing_extensions import override

from lightning_primo.checks import shown
from lightning_primo.errors import InvalidArgumentError
from lightning_primo.objectives.base import LAST, At, log_value
from lightning_primo.objectives.metric import Metric
from lightning_primo.problem.objective import Mode

PREDICTIONS = ("preds", "predictions", "logits", "y_hat")
TARGETS = ("target", "targets", "labels", "y")
"""Under which keys a validation step may return them; the first one that is there counts."""

_WORD_BEGINS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")

_NOT_WHAT_BUT_HOW = {
    "compute",
    "compute_on_cpu",
    "compute_with_cache",
    "dist_sync_on_step",
    "distributed_available_fn",
    "sync_on_compute",
    "training",
    "update",
    "validate_args",
}


class TorchMetric(Metric):
    """A torchmetrics metric over the validation data; the module needs to return its predictions, not to log anything.

    `validation_step` returns ``{"preds": ..., "target": ...}`` or ``(preds, target)``, as the metric's `update` takes
    them. The metric is reset with every validation, updated after each batch of each dataloader, and computed in the
    end, over the data of all processes. The value is logged under the objective's name, where loggers,
    `EarlyStopping` and `ModelCheckpoint` find it.

    Args:
        metric: Computes one number. It says whether higher is better; give `mode` if it does not.
        mode: Whether it is to be minimised or maximised.
        name: Name of the objective; default: the metric's class in snake case, ``multiclass_accuracy``.
        reference: Coordinate of the hypervolume's reference point: the worst value still of interest.
        log: Whether it spans orders of magnitude and is positive.
        at_most: The largest value that is allowed after a full training, inclusive; see `Objective`.
        at_least: The smallest value that is allowed.
        at: Which epoch counts, see `Metric`.

    Attributes:
        definition: The metric's class and settings as text, another one where they are others.

    Raises:
        InvalidArgumentError: If `metric` is no single metric, or neither it nor `mode` tells the direction; in a
            Trainer, for a `validation_step` that returns something else, and a metric that computes more than a number.

    Example:
        >>> from torchmetrics.classification import MulticlassAccuracy
        >>> TorchMetric(MulticlassAccuracy(num_classes=10)).objective.mode
        'max'
    """

    def __init__(
        self,
        metric: torchmetrics.Metric,
        *,
        mode: Mode | None = None,
        name: str | None = None,
        reference: float | None = None,
        log: bool = False,
        at_most: float | None = None,
        at_least: float | None = None,
        at: At = LAST,
    ) -> None:
        _check_metric(metric)
        kind = type(metric).__name__
        if mode is None:
            if metric.higher_is_better is None:
                raise InvalidArgumentError(f"'mode' must be given: {kind} does not say whether higher is better")
            mode = "max" if metric.higher_is_better else "min"
        name = _WORD_BEGINS.sub("_", kind).lower() if name is None else name
        super().__init__(name, mode, reference=reference, log=log, at_most=at_most, at_least=at_least, at=at)
        self.metric = metric
        self.definition = _text(metric)

    @override
    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        super().on_train_start(trainer, pl_module)
        if not trainer.enable_validation:
            raise InvalidArgumentError(
                f"{self!r} is computed in validation, but {type(pl_module).__name__} has none here; give it a "
                "validation_step and validation data, or use Metric for what is logged in training"
            )

    @override
    def on_validation_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.metric.to(pl_module.device)
        self.metric.reset()

    @override
    def on_validation_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        preds, target = _predictions_and_targets(outputs, pl_module)
        self.metric.update(preds, target)

    @override
    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if not trainer.sanity_checking:
            value = self.metric.compute()
            if not isinstance(value, torch.Tensor) or value.numel() != 1:
                made = f"a tensor of shape {tuple(value.shape)}" if isinstance(value, torch.Tensor) else repr(value)
                raise InvalidArgumentError(
                    f"'metric' must compute one number, but {type(self.metric).__name__} made {made}; average over the "
                    "classes (average='macro'), or give another metric"
                )
            log_value(trainer, pl_module, self.objective.name, float(value))
        self.metric.reset()  # some keep all predictions, which would take the memory that the training needs


def _check_metric(metric: object) -> None:
    if isinstance(metric, torchmetrics.MetricCollection):
        names = list(metric.keys())
        raise InvalidArgumentError(
            f"'metric' is a MetricCollection, but an objective is one number; give an objective for each, such as "
            f"TorchMetric(collection[{(names or ['name'])[0]!r}])"
        )
    if isinstance(metric, type) and issubclass(metric, torchmetrics.Metric):
        raise InvalidArgumentError(f"'metric' is the class {metric.__name__}; write {metric.__name__}(...)")
    if not isinstance(metric, torchmetrics.Metric):
        raise InvalidArgumentError(
            f"'metric' must be a torchmetrics.Metric such as MulticlassAccuracy(num_classes=10), got "
            f"{shown(metric)}; for "
            "a metric that the module logs, use Metric('name')"
        )


def _predictions_and_targets(outputs: Any, module: pl.LightningModule) -> tuple[Any, Any]:
    if isinstance(outputs, Mapping):
        found = [outputs[key] for key in (_first(PREDICTIONS, outputs), _first(TARGETS, outputs)) if key is not None]
        if len(found) == 2:
            return found[0], found[1]
        returned = f"a dict with the keys {', '.join(map(repr, outputs)) or 'none'}"
    elif isinstance(outputs, tuple) and len(outputs) == 2:
        return outputs
    else:
        number = f" of {len(outputs)}" if isinstance(outputs, tuple) else ""
        returned = "nothing" if outputs is None else f"a {type(outputs).__name__}{number}"
    raise InvalidArgumentError(
        f"'validation_step' of {type(module).__name__} returned {returned}, but a TorchMetric is updated with what it "
        "returns; let it end with return {'preds': preds, 'target': target}, or return preds, target"
    )


def _first(names: Iterable[str], outputs: Mapping[str, Any]) -> str | None:
    return next((name for name in names if name in outputs), None)


def _text(value: Any) -> str:
    """A metric's class and public settings, its tensors and the metrics in it too; the state is none of them."""
    if isinstance(value, torchmetrics.Metric):
        every = {**vars(value), **dict(value.named_buffers(recurse=False)), **dict(value.named_children())}
        names = sorted(every.keys() - value.metric_state.keys() - _NOT_WHAT_BUT_HOW)
        own = {name: _text(every[name]) for name in names if not name.startswith("_")}
        return f"{type(value).__qualname__}({', '.join(f'{name}={text}' for name, text in own.items() if text)})"
    if isinstance(value, torch.nn.ModuleList):
        return f"[{', '.join(map(_text, value))}]"
    if isinstance(value, torch.Tensor):
        return str(value.tolist())
    if callable(value):
        return str(getattr(value, "__qualname__", type(value).__qualname__))
    return repr(value) if isinstance(value, (bool, int, float, str, list, tuple, dict)) else ""
