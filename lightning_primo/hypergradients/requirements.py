"""What trainings must be like for hypergradients to be right; each check names what is wrong and what to do."""

from __future__ import annotations

import lightning.pytorch as pl
from torch._dynamo import OptimizedModule

from lightning_primo.errors import InvalidArgumentError


def require_automatic(who: str, module: pl.LightningModule) -> None:
    """Raise InvalidArgumentError where the module optimises manually, so that nobody sees its steps."""
    if not module.automatic_optimization:
        raise InvalidArgumentError(
            f"{who} needs automatic optimisation, and {type(module).__name__} optimises manually: set "
            "automatic_optimization = True and let training_step return the loss"
        )


def require_one_process(who: str, trainer: pl.Trainer) -> None:
    """Raise InvalidArgumentError where several processes train, each on batches of its own."""
    if trainer.world_size > 1:
        raise InvalidArgumentError(
            f"{who} works in one process, and this training has {trainer.world_size}: use Trainer(devices=1)"
        )


def require_full_precision(who: str, trainer: pl.Trainer) -> None:
    """Raise InvalidArgumentError where losses are computed in half precision, too coarse for second derivatives."""
    if trainer.precision not in ("32-true", "64-true"):
        raise InvalidArgumentError(
            f"{who} works in single or double precision, and this training has precision={trainer.precision!r}: use "
            "'32-true'"
        )


def require_not_compiled(who: str, module: pl.LightningModule) -> None:
    """Raise InvalidArgumentError for compiled layers, of which torch has no second derivatives."""
    for name, child in module.named_modules():
        if isinstance(child, OptimizedModule) or child._compiled_call_impl is not None:
            what = f"{name!r} of {type(module).__name__}" if name else type(module).__name__
            raise InvalidArgumentError(
                f"{who} differentiates twice, which torch.compile does not support, and {what} is compiled; leave that "
                "out"
            )
