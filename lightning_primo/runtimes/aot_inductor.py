"""AOTInductor: machine code that is compiled where it is loaded, from an exported program."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from typing_extensions import override

from lightning_primo.errors import NotDeployableError, PrimoError, first_line
from lightning_primo.runtimes.artefact import Artefact, Format
from lightning_primo.runtimes.deployable_runtime import DeployableRuntime
from lightning_primo.runtimes.packages import installed, require_compiler
from lightning_primo.runtimes.runtime import Session

if TYPE_CHECKING:
    from torch import nn


class AOTInductor(DeployableRuntime):
    """``torch.export`` and AOTInductor's machine code, for one shape of the inputs. Needs a C++ compiler.

    What is exported is the program; machine code is compiled from it on the device that loads it.
    """

    @property
    @override
    def name(self) -> str:
        """``aotinductor``."""
        return "aotinductor"

    @property
    @override
    def format(self) -> Format:
        return "exported-program"

    @override
    def versions(self) -> dict[str, str]:
        return {"torch": installed("torch")}

    @override
    def export(self, module: nn.Module, inputs: Any, directory: Path, *, calibration: Iterable[Any] = ()) -> Artefact:
        from lightning_primo.runtimes.exported_program import export_program

        return export_program(module, inputs, directory / "model.pt2")

    @override
    def start(self) -> None:
        import torch._inductor.package  # noqa: F401

        import lightning_primo.runtimes.exported_program  # noqa: F401

    @override
    def load(self, artefact: Artefact, *, device: str = "cpu", threads: int | None = None) -> Session:
        from lightning_primo.runtimes.exported_program import AotiSession

        with _explained():
            return AotiSession(self.deployed(artefact, device=device), device)

    @override
    def deployed(self, artefact: Artefact, *, device: str = "cpu") -> Artefact:
        """The compiled package, which has the weights."""
        from lightning_primo.runtimes.exported_program import PACKAGE, compile_package

        if artefact.format == PACKAGE:
            return artefact
        require_compiler("AOTInductor()")
        with _explained():
            return compile_package(artefact, device)


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except PrimoError:
        raise
    except Exception as error:  # of inductor and the compiler, of a dozen kinds
        raise NotDeployableError(
            f"AOTInductor cannot compile the program: {type(error).__name__}: {first_line(str(error))}"
        ) from error
