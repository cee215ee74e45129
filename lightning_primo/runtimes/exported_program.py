"""Programs of ``torch.export`` as files, and what AOTInductor compiles of them."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from typing_extensions import override

from lightning_primo.errors import NotDeployableError, first_line
from lightning_primo.measure.devices import synchronize
from lightning_primo.measure.inputs import tensors, to_device
from lightning_primo.measure.isolation import dtype_name, isolated, placed
from lightning_primo.runtimes.artefact import Artefact, Format, TensorSpec
from lightning_primo.runtimes.flat_module import FlatModule
from lightning_primo.runtimes.runtime import Array, Arrays, Session

PACKAGE: Format = "aoti-package"


def export_program(module: nn.Module, inputs: Any, path: Path) -> Artefact:
    """Write the program of a module, for inputs of these shapes.

    Args:
        module: On any device and in any mode; it stays as it is.
        inputs: As for `measure.call`, on any device.
        path: Of the file.

    Raises:
        NotDeployableError: If ``torch.export`` does not take the module.
    """
    module, inputs = placed(module, device=torch.device("cpu")), to_device(inputs, "cpu")
    leaves = tuple(tensors(inputs))
    try:
        with isolated(module), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            flat = FlatModule(module, inputs).eval()
            outputs = flat(*leaves)
            torch.export.save(torch.export.export(flat, leaves), path)
    except Exception as error:  # of the exporter and the user's forward, of a dozen kinds
        raise NotDeployableError(
            f"torch.export cannot take {type(module).__name__}: {type(error).__name__}: {first_line(str(error))}"
        ) from error
    return Artefact.of_files(
        path, "exported-program", inputs=_specs("input", leaves), outputs=_specs("output", outputs)
    )


def compile_package(artefact: Artefact, device: str) -> Artefact:
    """Compile an exported program for `device`, into a file beside it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.export.load(artefact.path)
        if torch.device(device).type != "cpu":
            from torch.export.passes import move_to_device_pass

            program = move_to_device_pass(program, device)
        package = artefact.path.with_name(f"{artefact.path.stem}-compiled.pt2")
        package = Path(torch._inductor.aoti_compile_and_package(program, package_path=str(package)))
    return Artefact.of_files(package, PACKAGE, inputs=artefact.inputs, outputs=artefact.outputs)


class AotiSession(Session):
    """A package of AOTInductor's that is loaded.

    Args:
        artefact: The package.
        device: Where it runs.
    """

    def __init__(self, artefact: Artefact, device: str) -> None:
        super().__init__(artefact)
        self._run: Any = torch._inductor.aoti_load_package(str(artefact.path))
        self._device = torch.device(device)

    @override
    def __call__(self, inputs: Arrays) -> tuple[Array, ...]:
        with torch.inference_mode():
            outputs = self._run(*self._tensors(inputs))
        return tuple(tensor.cpu().numpy() for tensor in tensors(outputs))

    @override
    def bound(self, inputs: Arrays) -> Callable[[], None]:
        """The inputs lie on the device, and the outputs stay there."""
        given = self._tensors(inputs)

        def run() -> None:
            self._run(*given)
            synchronize(self._device)

        return run

    def _tensors(self, inputs: Arrays) -> list[Tensor]:
        return [torch.from_numpy(array).to(self._device) for array in self.named(inputs).values()]


def _specs(name: str, values: tuple[Tensor, ...]) -> list[TensorSpec]:
    return [
        TensorSpec(name=f"{name}_{index}", shape=tuple(value.shape), dtype=dtype_name(value.dtype))
        for index, value in enumerate(values)
    ]
