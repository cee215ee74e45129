"""Runtimes that are given an ONNX file."""

from __future__ import annotations

from abc import ABC
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from typing_extensions import override

from lightning_primo.runtimes.artefact import Artefact, Format
from lightning_primo.runtimes.deployable_runtime import DeployableRuntime

if TYPE_CHECKING:
    from torch import nn

FILE_NAME = "model.onnx"


class OnnxFormatRuntime(DeployableRuntime, ABC):
    """A runtime that is given an ONNX file, for batches of any size where the module can be exported for these."""

    @property
    @override
    def format(self) -> Format:
        return "onnx"

    @override
    def export(self, module: nn.Module, inputs: Any, directory: Path, *, calibration: Iterable[Any] = ()) -> Artefact:
        from lightning_primo.runtimes.onnx_export import export_onnx

        return export_onnx(module, inputs, directory / FILE_NAME)
