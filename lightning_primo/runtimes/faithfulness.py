"""Whether a program computes what its module does, before it counts how quickly it does so."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from lightning_primo.errors import NotDeployableError
from lightning_primo.measure.inputs import call, map_tensors, tensors
from lightning_primo.measure.isolation import explained, isolated
from lightning_primo.runtimes.runtime import Program, Runtime

# PyTorch rounds after every operator, a compiler that fuses them does not. Errors of n operators add up to about
# sqrt(n) roundings, of 2^-11 in float16 and 2^-8 in bfloat16: this is enough for more than a hundred operators.
_TOLERANCES = {torch.float16: 3e-2, torch.bfloat16: 5e-2}


def deviation(program: Program, module: nn.Module, inputs: Any) -> float:
    """How far the outputs of `program` are from those of `module`, relative to the largest output of the module.

    They are compared for `probes`. NaN and infinity are equal to themselves. Outputs that are zero throughout have no
    scale of their own: there the difference itself is meant.

    Args:
        program: Made from `module`.
        module: It and the random state stay as they are.
        inputs: As for `measure.call`, where the module lies.

    Returns:
        The largest one of all outputs; infinite where there are others, or of other shapes.

    Raises:
        NotMeasurableError: If the module cannot be called with the inputs.
    """
    worst = 0.0
    for given in probes(module, inputs):
        with isolated(module), torch.inference_mode(), explained(module, given):
            expected = [tensor.detach().cpu() for tensor in tensors(call(module, given))]
        found = [tensor.detach().cpu() for tensor in tensors(program(given))]
        if [tensor.shape for tensor in found] != [tensor.shape for tensor in expected]:
            return float("inf")
        worst = max([worst, *map(_distance, found, expected)])
    return worst


def probes(module: nn.Module, inputs: Any) -> list[Any]:
    """`inputs`, and these with noise of standard deviation one added, as example inputs may be all zeros.

    Noise is left out where the module does not take it, such as numbers of words that are kept as floats.
    """
    noisy = _noisy(inputs)
    try:
        with isolated(module), torch.inference_mode():
            call(module, noisy)
    except torch.OutOfMemoryError:
        raise
    except Exception:  # of the user's forward
        return [inputs]
    return [inputs, noisy]


def require_faithful(runtime: Runtime, found: float, module: nn.Module, *, dtype: torch.dtype = torch.float32) -> None:
    """Raise if a deviation is beyond the tolerance of `runtime`, or of `dtype` where that is coarser.

    Raises:
        NotDeployableError: It says by how much.
    """
    tolerance = max(runtime.tolerance, _TOLERANCES.get(dtype, 0.0))
    if not found <= tolerance:
        raise NotDeployableError(
            f"{runtime.name} computes something else than {type(module).__name__}: an output is off by {found:.2g} of "
            f"the largest one, more than {tolerance:g}"
        )


def _noisy(inputs: Any) -> Any:
    generator = torch.Generator().manual_seed(0)

    def noisy(tensor: Tensor) -> Tensor:
        if not tensor.is_floating_point():
            return tensor
        noise = torch.randn(tensor.shape, generator=generator, dtype=torch.float32)
        return tensor + noise.to(tensor.device, tensor.dtype)

    return map_tensors(noisy, inputs)


def _distance(one: Tensor, other: Tensor) -> float:
    if other.numel() == 0:
        return 0.0
    one, other = one.double(), other.double()
    finite = other.isfinite()
    if not torch.equal(one[~finite].nan_to_num(), other[~finite].nan_to_num()) or not one[finite].isfinite().all():
        return float("inf")
    if not finite.any():
        return 0.0
    largest = float(other[finite].abs().max())
    return float((one[finite] - other[finite]).abs().max()) / (largest or 1.0)
