from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from lightning_primo.errors import InvalidArgumentError, NotDeployableError, RuntimeMissingError, UnknownNameError
from lightning_primo.measure.isolation import isolated
from lightning_primo.runtimes import (
    AOTInductor,
    Artefact,
    Compiled,
    DynamicallyQuantised,
    Eager,
    FirstOf,
    HalfPrecision,
    OnnxRuntime,
    OpenVINO,
    Quantised,
    Runtime,
    compare,
    packages,
    runtime_of,
)
from lightning_primo.runtimes.faithfulness import deviation, require_faithful
from lightning_primo.runtimes.latency import faithful_program, runtime_latency
from tests.runtimes.networks import IMAGES, Branching, Named, digits_classifier

pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning:onnxscript", "ignore::DeprecationWarning:openvino", "ignore::FutureWarning:onnxscript"
)
needs_compiler = pytest.mark.skipif(packages.compiler() is None, reason="there is no C++ compiler")

OWN = OnnxRuntime()
ALL = [
    Eager(),
    OWN,
    OnnxRuntime(["CPUExecutionProvider"]),
    OpenVINO(),
    Compiled("max-autotune"),
    AOTInductor(),
    HalfPrecision(OWN),
    Quantised(OpenVINO(), calibration_batches=3),
    DynamicallyQuantised(OWN),
    FirstOf([Quantised(OWN), Eager()]),
]


@pytest.mark.parametrize("runtime", ALL, ids=repr)
def test_a_runtime_is_made_again_of_its_settings(runtime: Runtime) -> None:
    again = runtime_of(json.loads(json.dumps(runtime.settings())))
    assert again == runtime
    assert type(again) is type(runtime)
    assert again.name == runtime.name
    assert [other == runtime for other in ALL].count(True) == 1


def test_settings_of_nothing_are_refused() -> None:
    with pytest.raises(UnknownNameError, match="unknown runtime: 'Path'"):
        runtime_of({"class": "Path", "arguments": {}})
    with pytest.raises(InvalidArgumentError, match="'Eager' does not take these arguments"):
        runtime_of({"class": "Eager", "arguments": {"mode": 1}})
    with pytest.raises(InvalidArgumentError, match="'runtime' must be a DeployableRuntime such as OnnxRuntime"):
        Quantised(Eager())  # type: ignore[arg-type]
    with pytest.raises(InvalidArgumentError, match="Quantised quantises ONNX files, AOTInductor"):
        Quantised(AOTInductor())
    with pytest.raises(UnknownNameError, match="'mode' of Compiled"):
        Compiled("fast")  # type: ignore[arg-type]


def test_onnx_runtime_and_openvino_compute_what_the_module_does(tmp_path: Path) -> None:
    """One file, two runtimes, batches of any size; the module and the random state stay as they were."""
    module = digits_classifier()
    state = {name: value.clone() for name, value in module.state_dict().items()}
    before = torch.get_rng_state()
    program, off = faithful_program(OWN, module, IMAGES, directory=tmp_path)
    assert torch.equal(torch.get_rng_state(), before)
    assert off < 1e-5
    artefact = program.artefact
    assert artefact is not None
    assert artefact.inputs[0].shape == (None, 1, 8, 8)
    other = OpenVINO().load(artefact, threads=1)
    images = torch.rand(5, 1, 8, 8)
    with isolated(module):
        expected = module(images)
    torch.testing.assert_close(program(images), expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(other([images.numpy()])[0], expected.numpy(), rtol=1e-3, atol=1e-4)
    named = {artefact.inputs[0].name: images.numpy()}
    np.testing.assert_array_equal(other(named)[0], other([images.numpy()])[0])
    other.bound([images.numpy()])()
    assert all(torch.equal(value, state[name]) for name, value in module.state_dict().items())
    assert module.training


def test_an_artefact_travels_and_is_loaded_without_pytorch(tmp_path: Path) -> None:
    artefact = OWN.export(Named(), {"values": torch.ones(2, 4), "mask": torch.ones(2, 4)}, tmp_path)
    description = json.loads(json.dumps(artefact.description()))
    assert Artefact.described(description, tmp_path) == artefact
    assert artefact.size == artefact.path.stat().st_size
    script = f"""
import json, sys
sys.modules.update(dict.fromkeys(("torch", "lightning", "onnx"), None))
import numpy as np
from pathlib import Path
from lightning_primo.runtimes import Artefact, OnnxRuntime, runtime_of
artefact = Artefact.described(json.loads({json.dumps(description)!r}), Path({str(tmp_path)!r}))
session = runtime_of({OWN.settings()!r}).load(artefact, threads=1)
print(session({{"values": np.ones((3, 4), np.float32), "mask": np.ones((3, 4), np.float32)}})[0].shape)
"""
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert found.stdout.strip() == "(3, 2)", found.stderr
    artefact.path.write_bytes(artefact.path.read_bytes() + b"x")
    with pytest.raises(InvalidArgumentError, match="not those that were described"):
        Artefact.described(description, tmp_path)
    with pytest.raises(InvalidArgumentError, match="names without a folder"):
        Artefact.described({**description, "files": ["../model.onnx"]}, tmp_path)


@pytest.mark.slow
def test_outputs_keep_their_arrangement(tmp_path: Path) -> None:
    inputs = {"mask": torch.ones(2, 4), "values": torch.rand(2, 4)}  # in another order than forward has them
    module = Named()
    program, off = faithful_program(OWN, module, inputs, directory=tmp_path)
    assert off < 1e-5
    outputs = program(inputs)
    assert outputs["kind"] == "linear"
    torch.testing.assert_close(outputs["logits"], module(**inputs)["logits"], rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_int8_is_smaller_and_close(tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(1, 32, 3), nn.ReLU(), nn.Conv2d(32, 64, 3), nn.ReLU(), nn.Flatten())
    images = torch.rand(4, 1, 8, 8)
    sizes = {}
    for runtime in (OWN, Quantised(OWN), DynamicallyQuantised(OWN)):
        folder = tmp_path / runtime.name
        folder.mkdir()
        calibration = [torch.rand(4, 1, 8, 8) for _ in range(3)]
        program = runtime.prepare(module, images, directory=folder, calibration=calibration)
        assert program.artefact is not None
        sizes[runtime.name] = program.artefact.size
        assert deviation(program, module, images) < 0.1
        assert [path.name for path in folder.iterdir()] == [program.artefact.path.name]
    assert sizes["onnxruntime int8"] < 0.6 * sizes["onnxruntime"]
    assert sizes["onnxruntime dynamic int8"] < 0.6 * sizes["onnxruntime"]


def test_what_computes_something_else_does_not_count(tmp_path: Path) -> None:
    module = nn.Linear(3, 2)
    program = Eager().prepare(module, torch.ones(1, 3), directory=tmp_path)
    assert deviation(program, module, torch.ones(1, 3)) == 0
    with torch.no_grad():
        module.bias[0] += 5
    off = deviation(program, module, torch.ones(1, 3))
    assert off > 0.5
    with pytest.raises(NotDeployableError, match="eager computes something else than Linear"):
        require_faithful(Eager(), off, module)
    require_faithful(Quantised(OWN), off, module)  # told, not judged


@pytest.mark.slow
def test_what_is_not_taken_says_why(tmp_path: Path) -> None:
    inputs = torch.ones(2, 3)
    with pytest.raises(NotDeployableError, match=r"torch\.onnx cannot export Branching.*for these very inputs: "):
        runtime_latency(OWN, Branching(), inputs, device="cpu")
    either = FirstOf([OWN, Eager()])
    measured = runtime_latency(either, Branching(), inputs, device="cpu")
    assert measured.runtime == ""  # as by Eager() itself, whose values these are
    assert either.name == "eager"
    assert FirstOf([OWN, Eager()]).settled_as(OWN.text()) == OWN


def test_what_is_not_here_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    artefact = Artefact(path=tmp_path, format="onnx", files=(), size=0, digest="", inputs=(), outputs=())
    with pytest.raises(
        RuntimeMissingError, match=r"by 'CUDAExecutionProvider', which is not installed here; there are"
    ):
        OWN.load(artefact, device="cuda")
    monkeypatch.setattr(packages.shutil, "which", lambda name: None)
    for runtime in (Compiled(), AOTInductor()):
        with pytest.raises(RuntimeMissingError, match=r"needs a C\+\+ compiler, and there is none here"):
            runtime.prepare(nn.Linear(3, 2), torch.ones(2, 3), directory=tmp_path)
    monkeypatch.setattr(packages.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(RuntimeMissingError, match=r"pip install 'lightning-primo\[openvino\]'"):
        OpenVINO().versions()


@pytest.mark.slow
@needs_compiler
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
@pytest.mark.parametrize(
    "runtime",
    [
        Eager(),
        OWN,
        OpenVINO(),
        HalfPrecision(OWN),
        Quantised(OWN),
        DynamicallyQuantised(OWN),
        Quantised(OpenVINO()),
        Compiled(),
        AOTInductor(),
    ],
    ids=repr,
)
def test_every_runtime_on_a_network_of_the_recipes(runtime: Runtime) -> None:
    table = compare(digits_classifier(), IMAGES, [runtime], threads=1)
    (row,) = table.rows
    assert row.failure == ""
    assert row.deviation <= min(runtime.tolerance, 0.2)
    assert row.latency > 0
    assert (row.size is None) == isinstance(runtime, (Eager, Compiled))
    print(table)


@pytest.mark.slow
@needs_compiler
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
def test_a_compiler_does_not_take_a_part(tmp_path: Path) -> None:
    for runtime in (Compiled(), AOTInductor()):
        with pytest.raises(NotDeployableError, match="cannot take Branching"):
            runtime.prepare(Branching(), torch.ones(2, 3), directory=tmp_path)
