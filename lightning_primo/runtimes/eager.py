"""PyTorch as it is."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from typing_extensions import override

from lightning_primo.runtimes.packages import installed
from lightning_primo.runtimes.runtime import Program, Runtime

if TYPE_CHECKING:
    from torch import nn


class Eager(Runtime):
    """PyTorch as it is, one operator after the other: what a Trainer computes with."""

    @property
    @override
    def name(self) -> str:
        """``eager``."""
        return "eager"

    @override
    def versions(self) -> dict[str, str]:
        return {"torch": installed("torch")}

    @override
    def prepare(
        self,
        module: nn.Module,
        inputs: Any,
        *,
        directory: Path,
        device: str = "cpu",
        threads: int | None = None,
        calibration: Iterable[Any] = (),
    ) -> Program:
        from lightning_primo.runtimes.torch_program import TorchProgram

        return TorchProgram(module, device)
