"""The number of parameters."""

from __future__ import annotations

from torch import nn

from lightning_primo.measure.isolation import require_initialised


def parameter_count(module: nn.Module, *, trainable_only: bool = True) -> int:
    """The number of scalars in the parameters of `module`; a parameter that several layers share counts once.

    Args:
        module: On any device, the meta device included.
        trainable_only: Leave out parameters that require no gradient now; some may in the course of a training.

    Raises:
        NotMeasurableError: If the module has lazy parameters that are not initialised yet.
    """
    require_initialised(module)
    return sum(p.numel() for p in module.parameters() if p.requires_grad or not trainable_only)
