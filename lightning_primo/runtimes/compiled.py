"""``torch.compile``."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from typing_extensions import override

from lightning_primo.errors import NotDeployableError, UnknownNameError, first_line
from lightning_primo.runtimes.packages import installed, require_compiler
from lightning_primo.runtimes.runtime import Program, Runtime

if TYPE_CHECKING:
    from torch import nn

Mode = Literal["default", "reduce-overhead", "max-autotune", "max-autotune-no-cudagraphs"]

_MODES = ("default", "reduce-overhead", "max-autotune", "max-autotune-no-cudagraphs")


class Compiled(Runtime):
    """``torch.compile``, of the whole module as one graph and for one shape of its inputs. Needs a C++ compiler.

    A module of which it would compile only parts is not taken.

    Args:
        mode: As for ``torch.compile``.

    Raises:
        UnknownNameError: For another mode.
    """

    def __init__(self, mode: Mode = "default") -> None:
        if mode not in _MODES:
            raise UnknownNameError("'mode' of Compiled", mode, _MODES)
        self.mode = mode

    @property
    @override
    def name(self) -> str:
        """``compiled``, with the mode where it is not the default."""
        return "compiled" if self.mode == "default" else f"compiled {self.mode}"

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
        import torch

        from lightning_primo.runtimes.torch_program import TorchProgram

        require_compiler("Compiled()")
        # All modules of a class share the number of times that their forward may be compiled.
        torch.compiler.reset()
        mode = None if self.mode == "default" else self.mode
        program = TorchProgram(
            module, device, lambda copy: torch.compile(copy, fullgraph=True, dynamic=False, mode=mode)
        )
        try:
            program(inputs)
        except Exception as error:  # of dynamo and inductor, of a dozen kinds
            raise NotDeployableError(
                f"torch.compile cannot take {type(module).__name__} as one graph: {type(error).__name__}: "
                f"{first_line(str(error))}"
            ) from error
        return program
