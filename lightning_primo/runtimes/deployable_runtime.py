"""Runtimes in two halves: where a module is exported need not be where it runs.

`export` needs PyTorch and gives an `Artefact`, `load` needs the runtime alone and gives a `Session`, which computes
with NumPy arrays.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from typing_extensions import override

from lightning_primo.runtimes.artefact import Artefact, Format
from lightning_primo.runtimes.runtime import Program, Runtime, Session

if TYPE_CHECKING:
    from torch import nn


class DeployableRuntime(Runtime):
    """A runtime that is given an exported file."""

    @property
    @abstractmethod
    def format(self) -> Format:
        """The kind of file that it is given."""

    def start(self) -> None:
        """Import what computes, so that what is taken from then on is an artefact's. Here there is nothing to import.

        Raises:
            RuntimeMissingError: If it is not installed here.
        """

    def deployed(self, artefact: Artefact, *, device: str = "cpu") -> Artefact:
        """What lies on the device, and is loaded as well: the artefact itself, or what is made of it there.

        Args:
            artefact: As `export` gives it, or this method.
            device: Where it is to run.

        Raises:
            NotDeployableError: If it cannot be made.
            RuntimeMissingError: If something that it needs is not installed here.
        """
        return artefact

    @abstractmethod
    def export(self, module: nn.Module, inputs: Any, directory: Path, *, calibration: Iterable[Any] = ()) -> Artefact:
        """Write what `load` takes into `directory`. Needs PyTorch. For the arguments see `prepare`.

        Raises:
            NotDeployableError: If the module cannot be exported.
            RuntimeMissingError: If something that it needs is not installed here.
        """

    @abstractmethod
    def load(self, artefact: Artefact, *, device: str = "cpu", threads: int | None = None) -> Session:
        """Make an artefact ready to be computed with. Imports the runtime, and PyTorch only where that is the runtime.

        Raises:
            NotDeployableError: If it cannot be loaded.
            RuntimeMissingError: If something that it needs is not installed here, or there is no such device.
        """

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
        from lightning_primo.runtimes.deployed_program import DeployedProgram

        artefact = self.export(module, inputs, directory, calibration=calibration)
        return DeployedProgram(self.load(artefact, device=device, threads=threads), module, inputs)
