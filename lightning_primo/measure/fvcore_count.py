"""The multiply-adds of a forward pass as fvcore counts them, to compare with ours and with published figures.

Its definition differs from ours: it also counts normalisation, adaptive pooling and upsampling, and it follows a trace,
in which attention and recurrent layers are single operators that it has no formula for.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from lightning_primo.errors import NotMeasurableError, UncountedOperatorError
from lightning_primo.measure.flops import Uncounted, check_uncounted, eager
from lightning_primo.measure.inputs import call, map_tensors, tensors, to_device
from lightning_primo.measure.isolation import devices_of, explained, isolated, require_initialised
from lightning_primo.measure.operators import does_arithmetic, formula_of

_ROOT = "module"


@dataclass(frozen=True, kw_only=True)
class FvcoreCount:
    """What fvcore says of a forward pass.

    Args:
        total: Its FLOPs, which are multiply-adds.
        by_submodule: The same by the name of a submodule, ``""`` being the module itself.
        unsupported: Operators that it has no formula for, by the name of each submodule in which they are called.
    """

    total: int
    by_submodule: dict[str, int]
    unsupported: dict[str, tuple[str, ...]]

    @property
    def uncounted(self) -> list[str]:
        """Those among the unsupported operators that do arithmetic, so that their multiply-adds are missing."""
        names = {name for operators in self.unsupported.values() for name in operators}
        return sorted(name for name in names if is_arithmetic(name))


def is_arithmetic(operator: str) -> bool:
    """Whether an operator of a trace, such as ``"aten::lstm"``, multiplies and adds."""
    namespace, _, name = operator.partition("::")
    if name.startswith("PythonOp"):  # an autograd function of the project's, of which the trace sees nothing
        return True
    if namespace == "aten" and formula_of(getattr(torch.ops.aten, name, None)) is not None:
        return True
    return does_arithmetic(namespace, name)


def fvcore_count(module: nn.Module, inputs: Any) -> FvcoreCount:
    """Trace one forward pass of `module` in evaluation mode with fvcore.

    Args:
        module: On any device but the meta device; it and the random state stay as they were.
        inputs: As for `inputs.call`, on any device.

    Raises:
        NotMeasurableError: If the module cannot be called with `inputs`, cannot be traced, or has lazy parameters.
    """
    require_initialised(module)
    home = next(iter(devices_of(module)), None)
    if home is not None and home.type == "meta":
        raise NotMeasurableError(
            f"fvcore cannot trace {type(module).__name__} on the meta device; build it on the CPU, or count by "
            "counter='primo'"
        )
    inputs = inputs if home is None else to_device(inputs, home)
    with isolated(module), eager(), _silent(), explained(module, inputs):
        from fvcore.nn import FlopCountAnalysis

        analysis = FlopCountAnalysis(_OfTensors(module, inputs), tuple(tensors(inputs)))
        analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False).tracer_warnings("none")
        by_module = analysis.by_module()
        unsupported = analysis._stats.unsupported_ops
    prefix = f"{_ROOT}."
    names = {name: "" if name == _ROOT else name.removeprefix(prefix) for name in by_module if name}
    return FvcoreCount(
        total=int(by_module[""]),
        by_submodule={short: int(by_module[name]) for name, short in names.items()},
        unsupported={short: tuple(sorted(unsupported[name])) for name, short in names.items() if unsupported.get(name)},
    )


def fvcore_flops(module: nn.Module, inputs: Any, *, uncounted: Uncounted = "error") -> int:
    """The total of `fvcore_count`.

    Args:
        module: As for `fvcore_count`.
        inputs: As for `fvcore_count`.
        uncounted: As for `count_flops`.

    Raises:
        InvalidArgumentError: For another `uncounted`.
        UncountedOperatorError: If operators that do arithmetic have no formula in fvcore.
        NotMeasurableError: As `fvcore_count`.
    """
    check_uncounted(uncounted)
    count = fvcore_count(module, inputs)
    if count.uncounted and uncounted == "error":
        raise UncountedOperatorError(count.uncounted, type(module).__name__, "fvcore")
    return count.total


class _OfTensors(nn.Module):
    """A module as a function of the tensors among its inputs, as a trace wants it."""

    def __init__(self, module: nn.Module, inputs: Any) -> None:
        super().__init__()
        self.module = module
        self._inputs = inputs

    def forward(self, *given: Tensor) -> Any:
        left = iter(given)
        outputs = call(self.module, map_tensors(lambda _: next(left), self._inputs))
        return tuple(tensors(outputs))


@contextmanager
def _silent() -> Iterator[None]:
    """Without fvcore's log and the tracer's warnings: what they say is in the count."""
    logger = logging.getLogger("fvcore.nn.jit_analysis")
    disabled = logger.disabled
    logger.disabled = True
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.disabled = disabled
