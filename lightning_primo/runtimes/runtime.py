"""What computes a network: PyTorch as it is, a compiler, or a runtime of its own that is given an exported file."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from typing_extensions import override

from lightning_primo.runtimes.artefact import Artefact

if TYPE_CHECKING:
    from torch import nn

Array = npt.NDArray[Any]
Arrays = Mapping[str, Array] | Sequence[Array]
"""The inputs of a session: by name, or in the order of the artefact's."""


class Program(ABC):
    """A module that a runtime has made ready in this process, called like the module.

    Attributes:
        artefact: What it was loaded from; None where nothing was exported.
    """

    artefact: Artefact | None = None

    @abstractmethod
    def __call__(self, inputs: Any) -> Any:
        """The outputs for `inputs`, passed as by `measure.call`: tensors, in the structure that the module gives."""

    @abstractmethod
    def bound(self, inputs: Any) -> Callable[[], None]:
        """A call with `inputs` that returns when the outputs are there: what is timed."""


class Runtime(ABC):
    """What computes a network.

    Subclasses keep each argument of their constructor as an attribute of the same name; these are JSON values, or
    runtimes that this one is made of.

    Attributes:
        name: What it is called in columns and places, such as ``"onnxruntime"``.
        tolerance: How far an output may be from PyTorch's, relative to the largest output; infinite where it is told
            and not judged.
    """

    tolerance: float = 1e-3

    @property
    def n_calibration(self) -> int:
        """Batches of data that it wants to see before it exports; 0 for none."""
        return 0

    @property
    @abstractmethod
    def name(self) -> str:
        """What it is called in columns and places."""

    @abstractmethod
    def versions(self) -> dict[str, str]:
        """The versions of what computes here, by package.

        Raises:
            RuntimeMissingError: If something that it needs is not installed here.
        """

    @abstractmethod
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
        """Make `module` ready to be called in this process, for inputs like `inputs`.

        Args:
            module: It and the random state stay as they are; it is run in evaluation mode.
            inputs: As for `measure.call`.
            directory: A folder for files, which must outlive the program.
            device: Where it is to run: ``"cpu"``, ``"cuda"``, ``"cuda:1"``, …
            threads: CPU threads within an operator; None for the runtime's default.
            calibration: More inputs like those that it will see, for a runtime that calibrates (`n_calibration`);
                where there are none, `inputs` stand for them.

        Raises:
            NotDeployableError: If it cannot take this module.
            RuntimeMissingError: If something that it needs is not installed here.
        """

    def settings(self) -> dict[str, Any]:
        """JSON values that `runtimes.runtime_of` makes this runtime of again, in another process."""
        arguments = {name: _plain(value) for name, value in vars(self).items() if not name.startswith("_")}
        return {"class": type(self).__name__, "arguments": arguments}

    def settled(self) -> Runtime:
        """The runtime that computes, for one that leaves it open at first; itself for all others."""
        return self

    def settled_as(self, text: str) -> Runtime:
        """The one of this name and version, for a runtime that leaves open which it is; itself for all others."""
        return self

    def text(self) -> str:
        """Name and versions, as a value's place has them: ``"onnxruntime 1.32.0"``."""
        return " ".join([self.name, *self.versions().values()])

    @override
    def __eq__(self, other: object) -> bool:
        return isinstance(other, Runtime) and self.settings() == other.settings()

    @override
    def __hash__(self) -> int:
        return hash(repr(self))

    @override
    def __repr__(self) -> str:
        arguments = ", ".join(f"{name}={value!r}" for name, value in vars(self).items() if not name.startswith("_"))
        return f"{type(self).__name__}({arguments})"


class Session(ABC):
    """An artefact that is ready to be computed with, on one device.

    Args:
        artefact: What it was loaded from.
    """

    def __init__(self, artefact: Artefact) -> None:
        self.artefact = artefact

    @abstractmethod
    def __call__(self, inputs: Arrays) -> tuple[Array, ...]:
        """The outputs in the artefact's order."""

    def bound(self, inputs: Arrays) -> Callable[[], None]:
        """A call with `inputs` that returns when the outputs are there: what is timed."""
        named = self.named(inputs)

        def run() -> None:
            self(named)

        return run

    def named(self, inputs: Arrays) -> dict[str, Array]:
        """`inputs` by the names of the artefact's."""
        names = [spec.name for spec in self.artefact.inputs]
        if isinstance(inputs, Mapping):
            return {name: np.ascontiguousarray(inputs[name]) for name in names}
        return {name: np.ascontiguousarray(array) for name, array in zip(names, inputs, strict=True)}


def _plain(value: Any) -> Any:
    if isinstance(value, Runtime):
        return value.settings()
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value
