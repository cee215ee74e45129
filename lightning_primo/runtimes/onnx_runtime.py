"""ONNX Runtime: an ONNX file on the CPU, or wherever one of its execution providers computes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from typing_extensions import override

from lightning_primo.checks import check_text
from lightning_primo.errors import InvalidArgumentError, NotDeployableError, RuntimeMissingError, first_line
from lightning_primo.runtimes.artefact import Artefact
from lightning_primo.runtimes.onnx_format import OnnxFormatRuntime
from lightning_primo.runtimes.packages import installed, require
from lightning_primo.runtimes.runtime import Array, Arrays, Session

_CPU = "CPUExecutionProvider"
_PROVIDERS = {"cpu": (_CPU,), "cuda": ("CUDAExecutionProvider", _CPU)}
_NUMBERED = ("CUDAExecutionProvider", "TensorrtExecutionProvider")  # that compute on one device of several
_ERRORS_ONLY = 3


class OnnxRuntime(OnnxFormatRuntime):
    """`ONNX Runtime <https://onnxruntime.ai>`_, given an ONNX file. Needs the extra ``onnx``.

    Args:
        providers: Its execution providers, the preferred first; empty for those of the device: the CPU's, or CUDA's
            with what that lacks on the CPU.

    Raises:
        InvalidArgumentError: For a provider that is no text.
    """

    def __init__(self, providers: Sequence[str] = ()) -> None:
        if isinstance(providers, str):
            raise InvalidArgumentError(f"'providers' must be a list of names, got {providers!r}; use [{providers!r}]")
        self.providers = [check_text("providers", provider) for provider in providers]

    @property
    @override
    def name(self) -> str:
        """``onnxruntime``, with the first of its providers if some were given."""
        first = self.providers[0].removesuffix("ExecutionProvider").lower() if self.providers else ""
        return f"onnxruntime {first}".strip()

    @override
    def versions(self) -> dict[str, str]:
        require("OnnxRuntime()", "onnx", "onnxruntime")
        return {"onnxruntime": installed("onnxruntime", "onnxruntime-gpu", "onnxruntime-openvino", "onnxruntime-qnn")}

    @override
    def start(self) -> None:
        require("OnnxRuntime()", "onnx", "onnxruntime")
        import onnxruntime  # noqa: F401

    @override
    def load(self, artefact: Artefact, *, device: str = "cpu", threads: int | None = None) -> Session:
        require("OnnxRuntime()", "onnx", "onnxruntime")
        import onnxruntime

        kind, _, index = device.partition(":")
        providers = self.providers or list(_PROVIDERS.get(kind, ()))
        there = onnxruntime.get_available_providers()
        missing = [provider for provider in providers if provider not in there]
        if missing or not providers:
            raise RuntimeMissingError(
                f"ONNX Runtime computes on {kind!r} by {', '.join(map(repr, missing)) or 'providers that you name'}"
                f", which is not installed here; there are: {', '.join(there)}. Give the objective device='cpu', or "
                "OnnxRuntime(providers=[...]), or install a build of ONNX Runtime for this device"
            )
        if int(index or 0) and not any(provider in _NUMBERED for provider in providers):
            raise RuntimeMissingError(
                f"OnnxRuntime() is asked for {device!r}, and {', '.join(providers)} computes on no numbered device; "
                f"give device={kind!r}, or one of the providers {', '.join(_NUMBERED)}"
            )
        settings = [{"device_id": index} if index and provider in _NUMBERED else {} for provider in providers]
        options = onnxruntime.SessionOptions()
        options.log_severity_level = _ERRORS_ONLY
        if threads is not None:
            options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        try:
            session = onnxruntime.InferenceSession(
                str(artefact.path), options, providers=providers, provider_options=settings
            )
        except Exception as error:  # of its C++ part, of a dozen kinds
            raise NotDeployableError(f"ONNX Runtime cannot load the file: {first_line(str(error))}") from error
        lost = [provider for provider in providers if provider not in session.get_providers()]
        if lost:
            raise RuntimeMissingError(
                f"ONNX Runtime goes on without {', '.join(map(repr, lost))}, which cannot be made here "
                "for lack of a device or of its libraries; give the objective device='cpu', or OnnxRuntime(providers="
                "[...]), or install what its log names"
            )
        session.disable_fallback()  # of its calls, to the CPU
        return _OnnxSession(artefact, session, device)


class _OnnxSession(Session):
    def __init__(self, artefact: Artefact, session: Any, device: str) -> None:
        super().__init__(artefact)
        self._session = session
        self._names = [spec.name for spec in artefact.outputs]
        self._kind, _, index = device.partition(":")
        self._index = int(index or 0)

    @override
    def __call__(self, inputs: Arrays) -> tuple[Array, ...]:
        return tuple(self._session.run(self._names, self.named(inputs)))

    @override
    def bound(self, inputs: Arrays) -> Callable[[], None]:
        """The inputs lie on the device, and the outputs stay there."""
        from onnxruntime import OrtValue

        binding, held = self._session.io_binding(), self.named(inputs)
        for name, array in held.items():
            binding.bind_ortvalue_input(name, OrtValue.ortvalue_from_numpy(array, self._kind, self._index))
        for name in self._names:
            binding.bind_output(name, self._kind, self._index)

        return partial(self._run, binding, held)

    def _run(self, binding: Any, held: Arrays) -> None:
        """One call. On the CPU it computes on the memory of `held`, which early releases do not keep."""
        self._session.run_with_iobinding(binding)
        binding.synchronize_outputs()
