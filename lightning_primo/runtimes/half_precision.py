"""Half precision in a runtime: the weights and what is computed between, not what goes in and comes out."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from typing_extensions import override

from lightning_primo.runtimes.artefact import Artefact
from lightning_primo.runtimes.deployable_runtime import DeployableRuntime
from lightning_primo.runtimes.wrapped_runtime import WrappedRuntime

if TYPE_CHECKING:
    from torch import nn


class HalfPrecision(WrappedRuntime):
    """Weights and activations of 16 bits (``float16``), between inputs and outputs of single precision.

    Where a processor has no such operators, a runtime computes them in single precision: the file is half as large, and
    slower. For `Eager` and `Compiled` use `Latency(dtype=...)`.

    Args:
        runtime: What computes, such as `OnnxRuntime()`.

    Raises:
        InvalidArgumentError: If it is given no file.
    """

    tolerance = 3e-2

    def __init__(self, runtime: DeployableRuntime) -> None:
        super().__init__(runtime)

    @property
    @override
    def name(self) -> str:
        """That of the runtime, and ``float16``."""
        return f"{self.runtime.name} float16"

    @override
    def export(self, module: nn.Module, inputs: Any, directory: Path, *, calibration: Iterable[Any] = ()) -> Artefact:
        from lightning_primo.runtimes.half_module import HalfModule

        return self.runtime.export(HalfModule(module), inputs, directory, calibration=calibration)
