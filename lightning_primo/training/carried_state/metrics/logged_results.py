"""What Lightning has summed up of an epoch's logged values, where a training goes on inside the epoch.

Lightning keeps neither the sum of ``self.log("loss", loss, on_epoch=True)`` nor the states of metrics that training
logs as objects. What watches the mean over such an epoch, as a schedule or EarlyStopping, would see that of a part.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor
from torchmetrics import Metric
from typing_extensions import override

from lightning_primo.callbacks.optimizer_settings import same
from lightning_primo.training.carried_state.late_state import LateState
from lightning_primo.training.carried_state.metrics.metric_contents import (
    MetricsMade,
    bring_up_to_date,
    contents,
    is_portable,
    put_into,
)
from lightning_primo.training.carried_state.values.shared_tensors import Copies, Restored, is_apart

# By the names that they have in a checkpoint; Lightning knows those of Python from those of torch.
_REDUCTIONS = {
    **{f"torch.{name}": getattr(torch, name) for name in ("mean", "sum", "max", "min")},
    **{function.__name__: function for function in (sum, max, min)},
}
_ASKED = ("prog_bar", "logger", "on_step", "on_epoch", "enable_graph", "add_dataloader_idx", "metric_attribute")
_TENSORS = ("value", "cumulated_batch_size", "_forward_cache")


class LoggedResults(LateState):
    """Keeps in checkpoints what training has logged in the epoch that they lie in; nothing where that is over.

    These are sums over batches, and what metrics have seen that are logged as objects, which Lightning resets behind
    the epoch. Metrics whose states are no tensors are left out; one that the module which goes on makes otherwise, by
    another hyperparameter, begins anew.
    """

    def __init__(self) -> None:
        super().__init__()
        self._made = MetricsMade()

    @property
    @override
    def state_key(self) -> str:
        return "lightning_primo.logged"

    @override
    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        super().on_fit_start(trainer, pl_module)
        self._made.note(pl_module)

    @override
    def state(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> dict[str, Any]:
        epochs: Any = trainer.fit_loop.epoch_progress.current
        if epochs.processed >= epochs.ready:
            return {}
        bring_up_to_date(pl_module)
        names = {id(part): name for name, part in pl_module.named_modules()}
        logged: dict[str, Any] = {}
        metrics: dict[str, Any] = {}
        for key, result in trainer.fit_loop.epoch_loop._results.items():
            parts = [] if result.is_tensor else [part for part in result.value.modules() if isinstance(part, Metric)]
            known = all(id(part) in names and is_portable(part) for part in parts)
            if result.has_reset or not known:
                continue
            logged[key] = _saved(result, pl_module.device, None if result.is_tensor else names[id(result.value)])
            own = {names[id(part)]: part for part in parts}
            metrics |= {name: {"made": self._made.of(part, name), **contents(part)} for name, part in own.items()}
        return {"logged": logged, "metrics": metrics} if logged else {}

    @override
    def names(self, state: dict[str, Any]) -> Iterable[str]:
        return {saved["name"] for saved in state["logged"].values()}

    @override
    def put_back(self, pl_module: pl.LightningModule, state: dict[str, Any]) -> None:
        trainer = pl_module.trainer
        connector = trainer._logger_connector
        if connector._first_loop_iter:
            connector._first_loop_iter = False  # in the first batch of an epoch Lightning begins all sums anew
        parts = {name: part for name, part in pl_module.named_modules() if isinstance(part, Metric)}
        going_on = {
            name: parts[name]
            for name, saved in state["metrics"].items()
            if name in parts and same(saved["made"], self._made.of(parts[name], name))
        }
        for name, metric in going_on.items():
            put_into(metric, state["metrics"][name])
        restored = Restored(pl_module.device)
        for key, saved in state["logged"].items():
            if saved["metric"] is None or saved["metric"] in going_on:
                _log(key, saved, going_on.get(saved["metric"]), restored, trainer)


def _saved(result: Any, device: torch.device, metric: str | None) -> dict[str, Any]:
    """A logged value: how it is logged, and what there is of it."""
    copies, meta = Copies(), result.meta
    tensors = {name: getattr(result, name, None) for name in _TENSORS}
    return {
        "fx": meta.fx,
        "name": meta.name,
        "asked": {name: getattr(meta, name) for name in _ASKED},
        "reduction": {function: name for name, function in _REDUCTIONS.items()}[meta.reduce_fx],
        "sync_dist": meta.sync.should,
        "rank_zero_only": meta.sync.rank_zero_only,
        "metric": metric,
        "tensors": {
            name: {"now": copies.of(tensor), "apart": is_apart(tensor, device)}
            for name, tensor in tensors.items()
            if isinstance(tensor, Tensor)
        },
    }


def _log(key: str, saved: dict[str, Any], metric: Metric | None, restored: Restored, trainer: pl.Trainer) -> None:
    """Have Lightning make a logged value anew, and give it what there was of it."""
    tensors = {
        name: restored.of(tensor["now"], into=None, apart=tensor["apart"]) for name, tensor in saved["tensors"].items()
    }
    results = trainer.fit_loop.epoch_loop._results
    results.log(
        saved["fx"],
        saved["name"],
        tensors["value"] if metric is None else metric,
        **saved["asked"],
        reduce_fx=_REDUCTIONS[saved["reduction"]],
        sync_dist=saved["sync_dist"],
        sync_dist_fn=trainer.strategy.reduce,
        batch_size=1,
        rank_zero_only=saved["rank_zero_only"],
    )
    result = results[key]
    for name, tensor in tensors.items():
        setattr(result, name, tensor)
    result._computed = None
