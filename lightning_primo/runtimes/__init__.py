"""What computes a network where it is deployed: each runtime a small class, which also works alone.

The contract is in `runtime`, and in `deployable_runtime` for those that are given a file; `artefact` is what travels
from where a module is exported to where it runs. Importing this room imports neither PyTorch nor a runtime: each method
imports what it needs.
"""

from collections.abc import Mapping
from typing import Any

from lightning_primo.errors import InvalidArgumentError, UnknownNameError
from lightning_primo.runtimes.aot_inductor import AOTInductor
from lightning_primo.runtimes.artefact import Artefact, TensorSpec
from lightning_primo.runtimes.comparison import RuntimeComparison, RuntimeRow, compare
from lightning_primo.runtimes.compiled import Compiled
from lightning_primo.runtimes.deployable_runtime import DeployableRuntime
from lightning_primo.runtimes.eager import Eager
from lightning_primo.runtimes.first_of import FirstOf
from lightning_primo.runtimes.half_precision import HalfPrecision
from lightning_primo.runtimes.onnx_runtime import OnnxRuntime
from lightning_primo.runtimes.openvino_runtime import OpenVINO
from lightning_primo.runtimes.quantised import DynamicallyQuantised, Quantised
from lightning_primo.runtimes.runtime import Program, Runtime, Session

__all__ = [
    "AOTInductor",
    "Artefact",
    "Compiled",
    "DeployableRuntime",
    "DynamicallyQuantised",
    "Eager",
    "FirstOf",
    "HalfPrecision",
    "OnnxRuntime",
    "OpenVINO",
    "Program",
    "Quantised",
    "Runtime",
    "RuntimeComparison",
    "RuntimeRow",
    "Session",
    "TensorSpec",
    "compare",
    "runtime_of",
]


def runtime_of(settings: Mapping[str, Any]) -> Runtime:
    """The runtime that has these `Runtime.settings`.

    Raises:
        InvalidArgumentError: If there is no such runtime, or it takes no such arguments.
    """
    kinds = {name: kind for name, kind in globals().items() if isinstance(kind, type) and issubclass(kind, Runtime)}
    kind, arguments = settings.get("class"), settings.get("arguments")
    if kind not in kinds or not isinstance(arguments, Mapping):
        raise UnknownNameError("runtime", kind, sorted(kinds))
    try:
        runtime: Runtime = kinds[kind](**{name: _argument(value) for name, value in arguments.items()})
    except TypeError as error:
        raise InvalidArgumentError(f"the runtime {kind!r} does not take these arguments: {error}") from error
    return runtime


def _argument(value: Any) -> Any:
    if isinstance(value, Mapping) and set(value) == {"class", "arguments"}:
        return runtime_of(value)
    return [_argument(item) for item in value] if isinstance(value, list) else value
