from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import onnxruntime
import pytest
import torch
from ConfigSpace import ConfigurationSpace
from torch import Tensor, nn

from lightning_primo.errors import (
    InvalidArgumentError,
    NotDeployableError,
    NotMeasurableError,
    OnnxSkippedWarning,
    PrimoError,
)
from lightning_primo.factory import Factory
from lightning_primo.layout import trial_directory
from lightning_primo.results import check_target
from lightning_primo.results.result import Result
from lightning_primo.runtimes.onnx_export import export_onnx, write_onnx
from tests.results.search_log import ACCURACY, Log, Problem


class Images(pl.LightningModule):
    """Behaves otherwise in training than in evaluation, and knows no batch size."""

    def __init__(self, width: int = 3) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.body = nn.Sequential(
            nn.Conv2d(1, width, 3), nn.BatchNorm2d(width), nn.ReLU(), nn.Dropout(0.5), nn.AdaptiveAvgPool2d(1)
        )
        self.head = nn.Linear(width, 2)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(self.body(x).flatten(1))
        return logits


class Data(pl.LightningDataModule):
    def train_dataloader(self) -> Any:
        images = torch.rand(6, 1, 8, 8)
        return torch.utils.data.DataLoader(torch.utils.data.TensorDataset(images, torch.arange(6)), batch_size=3)


class TwoInputs(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 2)

    def forward(self, values: Tensor, mask: Tensor) -> dict[str, Tensor]:
        return {"logits": self.layer(values * mask)}


class Branching(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x + 1 if x.sum() > 0 else x


def result_of(directory: Path, build: Factory | None) -> Result:
    problem = Problem(space=ConfigurationSpace({"width": (1, 8)}), objectives=(ACCURACY,), max_epochs=9)
    log = Log(problem)
    log.train(0, (0.9,), config={"width": 5})
    folder = trial_directory(directory, 0)
    folder.mkdir(parents=True)
    module = Images(5)
    for tensor in module.state_dict().values():
        if tensor.is_floating_point():
            nn.init.uniform_(tensor, 0.5, 1.5)
    torch.save({"state_dict": module.state_dict(), "epoch": 9}, folder / "last.ckpt")
    return log.result(directory, build)


def outputs(path: Path, **inputs: Tensor) -> list[Any]:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    names = [given.name for given in session.get_inputs()]
    return list(session.run(None, dict(zip(names, (tensor.numpy() for tensor in inputs.values()), strict=True))))


def test_an_exported_module_computes_the_same_for_any_batch_size(tmp_path: Path) -> None:
    result = result_of(tmp_path / "search", Factory(Images, Data))  # no example_input_array: from a batch of the data
    before = torch.get_rng_state()
    folder = result.export(tmp_path / "front", onnx=True) / "trial_00000"
    assert torch.equal(torch.get_rng_state(), before)
    assert sorted(path.name for path in folder.iterdir()) == [
        *("config.json", "model.ckpt", "model.onnx", "objectives.json", "state_dict.pt")
    ]
    module = result.load(0)
    for size in (1, 5):
        images = torch.randn(size, 1, 8, 8)
        with torch.no_grad():
            expected = module(images).numpy()
        np.testing.assert_allclose(outputs(folder / "model.onnx", x=images)[0], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", [tuple, dict])
def test_several_inputs_share_the_batch_dimension(tmp_path: Path, kind: type) -> None:
    module = TwoInputs().eval()
    named = {"values": torch.randn(3, 4), "mask": torch.ones(4)}  # the mask has no batch dimension
    write_onnx(module, named if kind is dict else tuple(named.values()), tmp_path / "model.onnx")
    given = {"values": torch.randn(7, 4), "mask": torch.ones(4)}
    with torch.no_grad():
        expected = module(**given)["logits"].numpy()
    np.testing.assert_allclose(outputs(tmp_path / "model.onnx", **given)[0], expected, rtol=1e-4, atol=1e-5)


def test_a_module_that_cannot_be_exported_is_named(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(PrimoError, match=r"torch\.onnx cannot export Branching .*Could not guard .* torch\.export"):
        write_onnx(Branching().eval(), torch.ones(2, 3), tmp_path / "model.onnx")
    captured = capfd.readouterr()
    assert captured.out + captured.err == ""
    with pytest.raises(NotMeasurableError, match="no tensor with a batch dimension"):
        write_onnx(Branching(), torch.tensor(1.0), tmp_path / "model.onnx")


class Looping(nn.Module):
    """Goes through the samples of a batch, which torch.export takes for two of them and no other number."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([self.layer(sample) for sample in x])


def test_what_is_exported_for_one_batch_size_alone_is_not_taken_for_any(tmp_path: Path) -> None:
    with pytest.raises(NotDeployableError, match=r"for batches of one size alone.*the whole batch at once"):
        write_onnx(Looping().eval(), torch.randn(3, 4), tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())
    module, inputs = Looping().eval(), torch.randn(1, 4)
    artefact = export_onnx(module, inputs, tmp_path / "model.onnx")  # for what it is measured with
    assert artefact.inputs[0].shape == (1, 4)
    expected = module(inputs).detach().numpy()
    np.testing.assert_allclose(outputs(artefact.path, x=inputs)[0], expected, rtol=1e-4, atol=1e-5)


def test_what_is_missing_is_told_before_anything_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(PrimoError, match="without the code that builds its modules"):
        result_of(tmp_path / "read", None).export(tmp_path / "front", onnx=True)
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "onnxscript" else find(name))
    with pytest.raises(PrimoError, match=r"needs 'onnxscript', not.*pip install 'lightning-primo\[onnx\]'"):
        result_of(tmp_path / "search", Factory(Images, Data)).export(tmp_path / "front", onnx=True)
    monkeypatch.undo()
    assert not (tmp_path / "front").exists()


def test_what_cannot_be_converted_is_exported_without(tmp_path: Path) -> None:
    with pytest.warns(OnnxSkippedWarning, match=r"trial 0 is exported without model\.onnx: no batch .*example_input_a"):
        result_of(tmp_path / "blind", Factory(Images)).export(tmp_path / "front", onnx=True)
    assert sorted(path.name for path in (tmp_path / "front" / "trial_00000").iterdir()) == [
        *("config.json", "model.ckpt", "objectives.json", "state_dict.pt")
    ]

    def broken(config: Any) -> pl.LightningModule:
        raise KeyError("depth")

    with pytest.warns(OnnxSkippedWarning, match="KeyError: 'depth'"):
        result_of(tmp_path / "broken", Factory(broken)).export(tmp_path / "other", onnx=True)
    assert (tmp_path / "other" / "front.csv").exists()


def test_a_folder_is_looked_at_before_anything_is_loaded_or_built(tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    with pytest.raises(InvalidArgumentError, match="is not empty"):
        check_target(tmp_path / "full")
    with pytest.raises(InvalidArgumentError, match="is not an earlier export"):
        check_target(str(tmp_path / "full"), overwrite=True)
    check_target(tmp_path / "new")
    with pytest.raises(InvalidArgumentError, match="is not empty"):  # not: without the code that builds its modules
        result_of(tmp_path / "search", None).export(tmp_path / "full", onnx=True)


@pytest.fixture
def _no_export(monkeypatch: pytest.MonkeyPatch) -> None:
    """torch.export takes nothing."""
    own = torch.onnx.export

    def export(*args: Any, dynamo: bool, **options: Any) -> Any:
        if dynamo:
            raise ValueError("not exportable")
        return own(*args, dynamo=dynamo, **options)

    monkeypatch.setattr(torch.onnx, "export", export)


class FixedSize(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.view(2, -1)  # of the batch that is traced


class Sign(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.abs() if x.detach().sum().tolist() > 0 else x


@pytest.mark.usefixtures("_no_export")
@pytest.mark.parametrize("kind", [tuple, dict])
def test_what_torch_export_does_not_take_is_traced(tmp_path: Path, kind: type) -> None:
    module = TwoInputs().eval()
    named = {"values": torch.randn(3, 4), "mask": torch.ones(4)}
    write_onnx(module, named if kind is dict else tuple(named.values()), tmp_path / "model.onnx")
    given = {"values": torch.randn(7, 4), "mask": torch.ones(4)}
    with torch.no_grad():
        expected = module(**given)["logits"].numpy()
    np.testing.assert_allclose(outputs(tmp_path / "model.onnx", **given)[0], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.usefixtures("_no_export")
@pytest.mark.parametrize("module", [FixedSize(), Sign(), Branching()])
def test_a_trace_that_is_right_for_one_batch_alone_is_refused(tmp_path: Path, module: nn.Module) -> None:
    with pytest.raises(PrimoError, match=r"ValueError: not exportable; traced: "):
        write_onnx(module.eval(), torch.ones(2, 3), tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())
