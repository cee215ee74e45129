"""OpenVINO: an ONNX file on Intel's processors, and on ARM's."""

from __future__ import annotations

from typing import Any

from typing_extensions import override

from lightning_primo.errors import NotDeployableError, RuntimeMissingError, first_line
from lightning_primo.runtimes.artefact import Artefact
from lightning_primo.runtimes.onnx_format import OnnxFormatRuntime
from lightning_primo.runtimes.packages import installed, require
from lightning_primo.runtimes.runtime import Array, Arrays, Session


class OpenVINO(OnnxFormatRuntime):
    """`OpenVINO <https://docs.openvino.ai>`_, given an ONNX file, on the CPU. Needs the extra ``openvino``.

    It computes in the precision of the file, also where the processor has a quicker one of its own.
    """

    @property
    @override
    def name(self) -> str:
        """``openvino``."""
        return "openvino"

    @override
    def versions(self) -> dict[str, str]:
        require("OpenVINO()", "openvino", "openvino")
        return {"openvino": installed("openvino")}

    @override
    def start(self) -> None:
        """Import it, and load its plugin for the CPU."""
        require("OpenVINO()", "openvino", "openvino")
        import openvino

        openvino.Core().get_property("CPU", "FULL_DEVICE_NAME")

    @override
    def load(self, artefact: Artefact, *, device: str = "cpu", threads: int | None = None) -> Session:
        require("OpenVINO()", "openvino", "openvino")
        import openvino

        if device != "cpu":
            raise RuntimeMissingError(f"OpenVINO() computes on the CPU, not on {device!r}; give device='cpu'")
        settings: dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
        if threads is not None:
            settings["INFERENCE_NUM_THREADS"] = threads
        try:
            core = openvino.Core()
            compiled = core.compile_model(core.read_model(str(artefact.path)), "CPU", settings)
            return _OpenVinoSession(artefact, compiled)
        except Exception as error:  # of its C++ part
            raise NotDeployableError(f"OpenVINO cannot load the file: {first_line(str(error))}") from error


class _OpenVinoSession(Session):
    def __init__(self, artefact: Artefact, compiled: Any) -> None:
        super().__init__(artefact)
        self._request = compiled.create_infer_request()
        self._outputs = compiled.outputs

    @override
    def __call__(self, inputs: Arrays) -> tuple[Array, ...]:
        found = self._request.infer(self.named(inputs), share_inputs=True)
        return tuple(found[output] for output in self._outputs)

    @override
    def bound(self, inputs: Arrays) -> Any:
        named = self.named(inputs)

        def run() -> None:
            self._request.infer(named, share_inputs=True, share_outputs=True)

        return run
