"""What a metric of torchmetrics has seen, how it was made, and how another one gets what it has seen."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torchmetrics import Metric, MetricCollection

from lightning_primo.training.carried_state.values.plain_numbers import vars_of_bare_metric

_CPU = torch.device("cpu")


def bring_up_to_date(module: nn.Module) -> None:
    """Give those metrics in a module their states that share these with another one of their collection."""
    for part in module.modules():
        if isinstance(part, MetricCollection):
            part.items()


def contents(metric: Metric) -> dict[str, Any]:
    """What a metric has seen, on the CPU: its ``"values"`` by state, and its ``"update_count"``."""
    values = {name: _moved(value, _CPU) for name, value in metric.metric_state.items()}
    return {"update_count": metric.update_count, "values": values}


def put_into(metric: Metric, saved: dict[str, Any]) -> None:
    """Give a metric the `contents` of another one, in the place of its own."""
    metric.reset()
    metric._update_count = saved["update_count"]
    for name, value in saved["values"].items():
        lists_apart = metric.compute_on_cpu and isinstance(value, list)
        setattr(metric, name, _moved(value, _CPU if lists_apart else metric.device))


def made_with(metric: Metric) -> dict[str, Any]:
    """What tells how a metric was made: its class, what its states begin with, and its plain settings."""
    others = {*metric._defaults, *vars_of_bare_metric()}
    return {
        "class": type(metric).__qualname__,
        "states": {name: _moved(default, _CPU) for name, default in metric._defaults.items()},
        "settings": {
            name: value
            for name, value in vars(metric).items()
            if name not in others and (value is None or type(value) in (bool, int, float, str))
        },
    }


class MetricsMade:
    """How the metrics of a module were made, as noted before they see anything, as settings may change on the way."""

    def __init__(self) -> None:
        self._by_name: dict[str, dict[str, Any]] = {}

    def note(self, module: nn.Module) -> None:
        """Note it of all metrics that a module has now, under each of their names."""
        parts = module.named_modules(remove_duplicate=False)
        self._by_name = {name: made_with(part) for name, part in parts if isinstance(part, Metric)}

    def noted(self, name: str) -> dict[str, Any] | None:
        """What was noted of the metric of this name; None where there was none."""
        return self._by_name.get(name)

    def of(self, metric: Metric, *names: str) -> dict[str, Any]:
        """What was noted of a metric under the first of its names that was; of a later one, how it is now."""
        return next((made for name in names if (made := self._by_name.get(name))), None) or made_with(metric)


def is_portable(metric: Metric) -> bool:
    """Whether its states are tensors or lists of these, which have values."""
    states = metric.metric_state.values()
    parts = [part for state in states for part in (state if isinstance(state, list) else [state])]
    return all(isinstance(part, Tensor) and not part.is_meta for part in parts)


def is_unused(metric: Metric) -> bool:
    """Whether a metric has seen nothing; the count alone does not tell, as `Running` has a `forward` of its own."""
    if metric.update_count:
        return False
    for name, state in metric.metric_state.items():
        default = metric._defaults[name]
        if isinstance(state, list) or isinstance(default, list):
            if isinstance(state, Tensor) or state:
                return False
        elif state.shape != default.shape or not bool((state == default.to(state.device)).all()):
            return False
    return True


def _moved(value: Any, device: torch.device) -> Any:
    if isinstance(value, Tensor):
        return value.detach().as_subclass(Tensor).to(device, copy=True)
    return [_moved(part, device) for part in value]
