"""What a runtime gets wrong is seen, and what a check gets wrong is not held against a runtime."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import nn

from lightning_primo.errors import NotDeployableError, RuntimeMissingError
from lightning_primo.measure.isolation import isolated
from lightning_primo.runtimes import Artefact, Compiled, Eager, HalfPrecision, OnnxRuntime, Program, Quantised, compare
from lightning_primo.runtimes.faithfulness import deviation
from lightning_primo.runtimes.half_module import HalfModule
from lightning_primo.runtimes.latency import faithful_program
from lightning_primo.runtimes.onnx_trace import trace_onnx
from tests.runtimes.networks import IMAGES, Words, trained_batch_norm

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:onnxscript", "ignore::FutureWarning:onnxscript")

OWN = OnnxRuntime()


def test_half_precision_keeps_running_statistics_and_takes_any_batch(tmp_path: Path) -> None:
    module = trained_batch_norm()
    program = HalfPrecision(OWN).prepare(module, IMAGES, directory=tmp_path)
    half = HalfModule(module)
    for images in (IMAGES, torch.rand(3, 1, 8, 8)):
        assert deviation(program, half, images) < 1e-2
        assert deviation(program, module, images) < 1e-2


def test_a_trace_is_of_a_module_in_evaluation_mode(tmp_path: Path) -> None:
    module = trained_batch_norm()
    state = {name: value.clone() for name, value in module.state_dict().items()}
    with isolated(module):
        trace_onnx(module, torch.rand(2, 1, 8, 8), tmp_path / "model.onnx", external_data=False)
        assert not any(child.training for child in module.modules())
        assert all(torch.equal(value, state[name]) for name, value in module.state_dict().items())


def test_int8_is_calibrated_on_what_it_is_compared_on() -> None:
    module = trained_batch_norm()
    (row,) = compare(module, IMAGES, [Quantised(OWN)], threads=1).rows
    assert row.failure == ""
    assert row.deviation < 0.1


class _Session:
    """ONNX Runtime's, where CUDA is installed and has no device."""

    given: ClassVar[dict[str, Any]] = {}

    def __init__(self, path: str, options: Any, **given: Any) -> None:
        _Session.given = given

    def get_providers(self) -> list[str]:
        return ["CPUExecutionProvider"]


def test_a_provider_that_cannot_be_made_is_not_replaced_by_the_cpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import onnxruntime

    artefact = Artefact(path=tmp_path, format="onnx", files=(), size=0, digest="", inputs=(), outputs=())
    names = ["CUDAExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: names)
    monkeypatch.setattr(onnxruntime, "InferenceSession", _Session)
    with pytest.raises(RuntimeMissingError, match="goes on without 'CUDAExecutionProvider', which cannot be made here"):
        OWN.load(artefact, device="cuda:1")
    assert _Session.given == {"providers": names, "provider_options": [{"device_id": "1"}, {}]}
    with pytest.raises(RuntimeMissingError, match=r"'cuda:1', and CPUExecutionProvider computes on no numbered device"):
        OnnxRuntime(["CPUExecutionProvider"]).load(artefact, device="cuda:1")


class _Off(Program):
    """Its outputs are off by a part of the largest one."""

    def __init__(self, module: nn.Module, part: float) -> None:
        self.module, self.part = module, part

    def __call__(self, inputs: Any) -> Any:
        with torch.inference_mode():
            outputs = self.module(inputs).float()
        return outputs + self.part * outputs.abs().max()

    def bound(self, inputs: Any) -> Any:
        raise NotImplementedError


@pytest.mark.parametrize(("dtype", "taken"), [(torch.float32, 5e-4), (torch.float16, 1e-2), (torch.bfloat16, 2e-2)])
def test_rounding_to_16_bits_is_no_other_computation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dtype: torch.dtype, taken: float
) -> None:
    module, inputs = nn.Linear(4, 3).to(dtype), torch.ones(2, 4, dtype=dtype)
    part = taken
    monkeypatch.setattr(Compiled, "prepare", lambda self, module, inputs, **options: _Off(module, part))
    faithful_program(Compiled(), module, inputs, directory=tmp_path)
    part = 0.1
    with pytest.raises(NotDeployableError, match="computes something else than Linear"):
        faithful_program(Compiled(), module, inputs, directory=tmp_path)


def test_noise_that_a_module_does_not_take_is_left_out(tmp_path: Path) -> None:
    module, words = Words(), torch.tensor([[0.0, 2.0, 1.0]])
    program, off = faithful_program(Eager(), module, words, directory=tmp_path)
    assert off == 0
    np.testing.assert_array_equal(program(words).numpy(), module(words).detach().numpy())
