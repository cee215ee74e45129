"""Runtimes that change what another one is given."""

from __future__ import annotations

from typing_extensions import override

from lightning_primo.checks import check_instance
from lightning_primo.runtimes.artefact import Artefact, Format
from lightning_primo.runtimes.deployable_runtime import DeployableRuntime
from lightning_primo.runtimes.runtime import Session


class WrappedRuntime(DeployableRuntime):
    """A runtime that loads what another one does, and exports it otherwise.

    Args:
        runtime: What computes.

    Raises:
        InvalidArgumentError: If it is given no file.
    """

    def __init__(self, runtime: DeployableRuntime) -> None:
        self.runtime = check_instance("runtime", runtime, DeployableRuntime, example="OnnxRuntime()")

    @property
    @override
    def format(self) -> Format:
        return self.runtime.format

    @override
    def versions(self) -> dict[str, str]:
        return self.runtime.versions()

    @override
    def load(self, artefact: Artefact, *, device: str = "cpu", threads: int | None = None) -> Session:
        return self.runtime.load(artefact, device=device, threads=threads)

    @override
    def start(self) -> None:
        self.runtime.start()

    @override
    def deployed(self, artefact: Artefact, *, device: str = "cpu") -> Artefact:
        return self.runtime.deployed(artefact, device=device)
