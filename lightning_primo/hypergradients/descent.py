"""Learning rates that descend along their own gradient while the weights descend along theirs.

Baydin, Cornish, Martinez Rubio, Schmidt, Wood, "Online Learning Rate Adaptation with Hypergradient Descent", ICLR 2018,
arXiv 1703.04782. A step of the optimizer is `w_t = w_(t-1) - lr d_t`, where `d_t` does not depend on `lr` (the gradient
for SGD, the buffer of its momentum, the normalised mean of Adam). So the loss after it has by `lr` the derivative
`-g_(t+1) . d_t`, with the gradient `g_(t+1)` that the next step computes anyway (equation 4).

`d_t` is taken from the weights themselves, `(w_(t-1) - w_t) / lr`: that holds for each optimizer whose steps are
proportional to the learning rate, weight decay, momentum and clipped gradients included, and is independent of how
torch computes it. It costs a copy of the weights.
"""

from __future__ import annotations

import math
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.plugins.precision import MixedPrecision
from torch import Tensor
from torch.optim import SGD, Adam, AdamW, NAdam, Optimizer, RMSprop
from typing_extensions import override

from lightning_primo.callbacks.tuning import TuningCallback
from lightning_primo.checks import check_instance, check_number, shown
from lightning_primo.errors import InvalidArgumentError, NonFiniteLossError
from lightning_primo.hypergradients.learning_rate_rules import LearningRateRule, Multiplicative
from lightning_primo.hypergradients.requirements import require_automatic, require_one_process

_PROPORTIONAL = (SGD, Adam, AdamW, NAdam, RMSprop)
"""Optimizers whose steps are proportional to the learning rate, if all else stays the same."""

Direction = list[Tensor]


class HypergradientDescent(TuningCallback):
    """Adapts the learning rate of each group of parameters by hypergradient descent, before every step.

    The gradient is that of what the optimizer minimises: of the loss of the batch, and of the penalty where weight
    decay is one (`SGD`, `Adam`; not where it is decoupled, `AdamW`), not clipped. As in the paper, the derivative is
    that of the last step alone: what earlier learning rates have put into momentum counts as given.

    Logs ``tuned_lr``, or ``tuned_lr_0``, ``tuned_lr_1``, ... for several groups. The last direction is in the
    checkpoint, so that a resumed training is the same, bit for bit. Accumulated gradients, clipping and bfloat16
    autocasting work.

    Args:
        lr: The step of the learning rate, positive; with `Multiplicative` its largest relative change, below 1.
        rule: How the learning rate follows: `Multiplicative()` or `Additive()`.
        bounds: Least and greatest learning rate, `0 < least <= greatest`.

    Raises:
        InvalidArgumentError: For arguments out of range; when a training starts, if the module optimises manually, its
            optimizer is none of torch's SGD, Adam, AdamW, NAdam and RMSprop, it has a learning-rate scheduler, weights
            in half precision, several processes, or 16-bit precision with a GradScaler.
        NonFiniteLossError: If a gradient becomes NaN or infinite.
    """

    def __init__(
        self, lr: float = 0.02, *, rule: LearningRateRule | None = None, bounds: tuple[float, float] = (1e-8, 10.0)
    ) -> None:
        self.rule = check_instance("rule", rule, LearningRateRule, example="Multiplicative()", default=Multiplicative)
        relative = isinstance(self.rule, Multiplicative)
        what = "a positive number below 1, as Multiplicative() changes by this fraction" if relative else "positive"
        self.lr = check_number("lr", lr, what, above=0, below=1 if relative else math.inf)
        self.bounds = _checked(bounds)
        self._start()

    def _start(self) -> None:
        self._rates: list[float] = []
        self._directions: list[Direction] | None = None
        self._before: list[Direction] | None = None

    @override
    def tuned(self) -> dict[str, float]:
        if len(self._rates) == 1:
            return {"tuned_lr": self._rates[0]}
        return {f"tuned_lr_{index}": rate for index, rate in enumerate(self._rates)}

    @override
    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        if stage == "fit":
            self._start()

    @override
    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        _require_supported(trainer, pl_module)
        groups = trainer.optimizers[0].param_groups
        self._rates = [float(group["lr"]) for group in groups]
        if self._directions is not None:
            self._directions = [
                [d.to(p) for d, p in zip(direction, group["params"], strict=True)]
                for direction, group in zip(self._directions, groups, strict=True)
            ]

    @override
    def on_before_optimizer_step(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, optimizer: Optimizer
    ) -> None:
        groups = optimizer.param_groups
        if self._directions is not None:
            for group, direction in zip(groups, self._directions, strict=True):
                self._adapt(group, direction)
        self._rates = [float(group["lr"]) for group in groups]
        self._before = [[parameter.detach().clone() for parameter in group["params"]] for group in groups]

    @override
    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if self._before is not None:  # gradients may still be accumulated
            groups = trainer.optimizers[0].param_groups
            self._directions = [
                [b.sub_(p.detach()).div_(rate) for b, p in zip(before, group["params"], strict=True)]
                for before, group, rate in zip(self._before, groups, self._rates, strict=True)
            ]
            self._before = None
        self.log_tuned(trainer, pl_module)

    @override
    def state_dict(self) -> dict[str, Any]:
        return {"directions": self._directions}

    @override
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._directions = state_dict["directions"]

    def _adapt(self, group: dict[str, Any], direction: Direction) -> None:
        product, norms = _agreement(_gradients(group), direction)
        if not math.isfinite(product) or not math.isfinite(norms):
            raise NonFiniteLossError("the gradient became NaN or infinite, and with it that of the learning rate")
        least, most = self.bounds
        rate = min(max(self.rule(float(group["lr"]), self.lr, product=product, norms=norms), least), most)
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(rate)
        else:
            group["lr"] = rate


def _gradients(group: dict[str, Any]) -> list[Tensor | None]:
    """The gradient of what the optimizer minimises by each parameter of its group; None for those without."""
    decay = 0.0 if group.get("decoupled_weight_decay", False) else group["weight_decay"]
    sign = -1.0 if group["maximize"] else 1.0
    return [
        None if parameter.grad is None else torch.add(sign * parameter.grad, parameter.detach(), alpha=decay)
        for parameter in group["params"]
    ]


def _agreement(gradients: list[Tensor | None], direction: Direction) -> tuple[float, float]:
    """`g . d` and `|g| |d|` over all parameters."""
    pairs = [(g.detach(), d) for g, d in zip(gradients, direction, strict=True) if g is not None]
    if not pairs:
        return 0.0, 0.0
    sums = torch.stack([torch.stack([(g * d).sum(), (g * g).sum(), (d * d).sum()]) for g, d in pairs]).sum(0)
    product, g_squared, d_squared = sums.tolist()
    return product, math.sqrt(g_squared) * math.sqrt(d_squared)


def _checked(bounds: tuple[float, float]) -> tuple[float, float]:
    if not isinstance(bounds, (tuple, list)) or len(bounds) != 2:
        raise InvalidArgumentError(f"'bounds' must be (least, greatest) learning rate, got {shown(bounds)}")
    least = check_number("bounds", bounds[0], "(least, greatest) with a positive least", above=0)
    return least, check_number("bounds", bounds[1], "(least, greatest) with least <= greatest", least=least)


def _require_supported(trainer: pl.Trainer, module: pl.LightningModule) -> None:
    who = "HypergradientDescent"
    require_automatic(who, module)
    require_one_process(who, trainer)
    (optimizer,) = trainer.optimizers
    name = type(optimizer).__name__
    if type(optimizer) not in _PROPORTIONAL:
        names = ", ".join(kind.__name__ for kind in _PROPORTIONAL)
        raise InvalidArgumentError(
            f"{who} cannot adapt the learning rate of {name}: it must be one whose steps are known to be proportional "
            f"to it, of torch.optim {names}"
        )
    if trainer.lr_scheduler_configs:
        scheduler = type(trainer.lr_scheduler_configs[0].scheduler).__name__
        raise InvalidArgumentError(
            f"{who} cannot go with the learning-rate scheduler {scheduler}, which would overwrite what it has found; "
            "return the optimizer alone from configure_optimizers"
        )
    plugin = trainer.precision_plugin
    if isinstance(plugin, MixedPrecision) and plugin.scaler is not None:
        raise InvalidArgumentError(
            f"{who} cannot go with precision='16-mixed', whose GradScaler leaves out steps; use 'bf16-mixed' or "
            "'32-true'"
        )
    for group in optimizer.param_groups:
        if float(group["lr"]) <= 0:
            raise InvalidArgumentError(
                f"{who} needs a positive learning rate to begin with, got {float(group['lr'])!r}; leave frozen weights "
                "out of the optimizer"
            )
        for parameter in group["params"]:
            if parameter.dtype not in (torch.float32, torch.float64):
                raise InvalidArgumentError(
                    f"{who} needs weights in single or double precision, got {parameter.dtype}, too coarse for the "
                    "difference that a step makes; use precision='bf16-mixed' or '32-true'"
                )
