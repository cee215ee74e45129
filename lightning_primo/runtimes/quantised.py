"""Quantisation to whole numbers of 8 bits, by ONNX Runtime's own tools.

Static quantisation calibrates the scales of activations on batches of data, and suits convolutions; dynamic
quantisation finds them while it computes, and suits transformers and recurrent networks. Both write an ONNX file, which
any runtime for these takes.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from typing_extensions import override

from lightning_primo.checks import check_whole
from lightning_primo.errors import InvalidArgumentError
from lightning_primo.runtimes.artefact import Artefact
from lightning_primo.runtimes.deployable_runtime import DeployableRuntime
from lightning_primo.runtimes.packages import require
from lightning_primo.runtimes.wrapped_runtime import WrappedRuntime

if TYPE_CHECKING:
    from torch import nn


class _Int8(WrappedRuntime):
    tolerance = math.inf

    def __init__(self, runtime: DeployableRuntime) -> None:
        super().__init__(runtime)
        if self.runtime.format != "onnx":
            raise InvalidArgumentError(
                f"{type(self).__name__} quantises ONNX files, {runtime!r} is given another kind of file; give it one "
                "of OnnxRuntime(), OpenVINO()"
            )

    def require_tools(self) -> None:
        """Raise unless what quantises is installed, which is not needed where the file is loaded alone.

        Raises:
            RuntimeMissingError: It says what to install.
        """
        require(f"{type(self).__name__}()", "onnx", "onnx", "onnxruntime")


class Quantised(_Int8):
    """Weights and activations of 8 bits, calibrated on batches of data: static quantisation. Needs the extra ``onnx``.

    How far its outputs are from PyTorch's is told, not judged: `DeployedMetric` says what it costs in accuracy.

    Args:
        runtime: What computes: `OnnxRuntime()` or `OpenVINO()`.
        calibration_batches: Batches of the training data that the ranges of activations are taken from, for a
            `DeployedMetric`. Time and size do not depend on the ranges: `Latency` and `compare` calibrate on the
            inputs that they have and these with noise, `FileSize` on the inputs.

    Raises:
        InvalidArgumentError: For another runtime, or no batches.
    """

    def __init__(self, runtime: DeployableRuntime, calibration_batches: int = 8) -> None:
        super().__init__(runtime)
        self.calibration_batches = check_whole("calibration_batches", calibration_batches, least=1)

    @property
    @override
    def n_calibration(self) -> int:
        """The number of batches."""
        return self.calibration_batches

    @property
    @override
    def name(self) -> str:
        """That of the runtime, and ``int8``."""
        return f"{self.runtime.name} int8"

    @override
    def export(self, module: nn.Module, inputs: Any, directory: Path, *, calibration: Iterable[Any] = ()) -> Artefact:
        from lightning_primo.runtimes.onnx_quantisation import quantise

        self.require_tools()
        artefact = self.runtime.export(module, inputs, directory)
        return quantise(artefact, list(calibration) or [inputs])


class DynamicallyQuantised(_Int8):
    """Weights of 8 bits, activations quantised while they are computed: dynamic quantisation. Needs the extra ``onnx``.

    Args:
        runtime: What computes: `OnnxRuntime()` or `OpenVINO()`.

    Raises:
        InvalidArgumentError: For another runtime.
    """

    @property
    @override
    def name(self) -> str:
        """That of the runtime, and ``dynamic int8``."""
        return f"{self.runtime.name} dynamic int8"

    @override
    def export(self, module: nn.Module, inputs: Any, directory: Path, *, calibration: Iterable[Any] = ()) -> Artefact:
        from lightning_primo.runtimes.onnx_quantisation import quantise_weights

        self.require_tools()
        return quantise_weights(self.runtime.export(module, inputs, directory))
