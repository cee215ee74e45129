"""The first of several runtimes that takes a module."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from typing_extensions import override

from lightning_primo.checks import check_instance
from lightning_primo.errors import InvalidArgumentError, NotDeployableError, RuntimeMissingError
from lightning_primo.runtimes.runtime import Program, Runtime

if TYPE_CHECKING:
    from torch import nn


class FirstOf(Runtime):
    """The first of `runtimes` that takes the first module, for all modules from then on.

    Values of different runtimes cannot be compared. So a search's first measurement settles which one it is; a later
    module that this one does not take fails its trial.

    Args:
        runtimes: Those that may be, the preferred first.

    Raises:
        InvalidArgumentError: If there are none.
    """

    def __init__(self, runtimes: Sequence[Runtime]) -> None:
        self.runtimes = [check_instance("runtimes", runtime, Runtime, example="Eager()") for runtime in runtimes]
        if not self.runtimes:
            raise InvalidArgumentError("'runtimes' of FirstOf must hold one at least, such as [OnnxRuntime(), Eager()]")
        self._settled: Runtime | None = None

    @property
    @override
    def name(self) -> str:
        """That of the runtime that is settled; before, all of them."""
        if self._settled is not None:
            return self._settled.name
        return f"first of {', '.join(runtime.name for runtime in self.runtimes)}"

    @override
    def settled(self) -> Runtime:
        return self if self._settled is None else self._settled

    @override
    def settled_as(self, text: str) -> Runtime:
        return next((runtime for runtime in self.runtimes if _text(runtime) == text), self)

    @override
    def versions(self) -> dict[str, str]:
        return {} if self._settled is None else self._settled.versions()

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
        reasons: list[str] = []
        for runtime in self.runtimes if self._settled is None else [self._settled]:
            try:
                program = runtime.prepare(
                    module, inputs, directory=directory, device=device, threads=threads, calibration=calibration
                )
            except (NotDeployableError, RuntimeMissingError) as error:  # noqa: PERF203 - the next one may take it
                reasons.append(f"{runtime.name}: {error}")
            else:
                self._settled = runtime
                return program
        raise NotDeployableError(f"no runtime takes {type(module).__name__}: {'; '.join(reasons)}")


def _text(runtime: Runtime) -> str:
    try:
        return runtime.text()
    except RuntimeMissingError:
        return runtime.name
