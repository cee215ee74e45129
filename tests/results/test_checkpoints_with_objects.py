"""Exports from which load_from_checkpoint builds modules that are given objects."""

from __future__ import annotations

import sys
import types
import warnings
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from ConfigSpace import ConfigurationSpace
from torch import Tensor, nn

from lightning_primo.errors import PrimoError
from lightning_primo.factory import Factory
from lightning_primo.layout import trial_directory
from lightning_primo.results.result import Result
from tests.results.search_log import ACCURACY, Log, Problem


class Composed(pl.LightningModule):
    """As libraries have it: made of layers and functions that it is given, which are hyperparameters."""

    def __init__(self, body: nn.Module, activation: Any = torch.relu, scale: float = 1.0) -> None:
        super().__init__()
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Attribute 'body' is an instance of `nn.Module`")
            self.save_hyperparameters()
        self.body, self.activation, self.scale = body, activation, scale

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.activation(self.body(x)) * self.scale
        return out


class Plain(pl.LightningModule):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Linear(2, width)


def composed(config: Any) -> Composed:
    return Composed(nn.Linear(2, config["width"]), scale=2.0)


def unpicklable(config: Any) -> Composed:
    return Composed(nn.Linear(2, config["width"]), lambda x: x)


def result_of(directory: Path, build: Any) -> Result:
    problem = Problem(space=ConfigurationSpace({"width": (1, 8)}), objectives=(ACCURACY,), max_epochs=9)
    log = Log(problem)
    log.train(0, (0.9,), config={"width": 5})
    folder = trial_directory(directory, 0)
    folder.mkdir(parents=True)
    torch.save(
        {"state_dict": build({"width": 5}).state_dict(), "epoch": 9, "pytorch-lightning_version": pl.__version__},
        folder / "last.ckpt",
    )
    return log.result(directory, Factory(build))


def test_a_module_is_built_from_the_objects_that_it_was_given(tmp_path: Path) -> None:
    result = result_of(tmp_path / "search", composed)
    folder = result.export(tmp_path / "front", objects=True) / "trial_00000"
    loaded = Composed.load_from_checkpoint(folder / "model_with_objects.ckpt", weights_only=False)
    told = 'load_from_checkpoint("trial_00000/model_with_objects.ckpt", weights_only=False)'
    assert told in (folder.parent / "README.md").read_text()
    assert loaded.scale == 2.0
    x = torch.rand(3, 2)
    assert torch.equal(loaded(x), result.load(0)(x))
    whole, safe = (torch.load(folder / f"{name}.ckpt", weights_only=False) for name in ("model_with_objects", "model"))
    assert whole["epoch"] == safe["epoch"] == 9
    assert "hyper_parameters" not in safe
    assert "model_with_objects.ckpt" not in {path.name for path in result.export(tmp_path / "plain").rglob("*")}


class Dotted(dict[str, Any]):
    """Read by attributes, as OmegaConf's containers are."""

    __module__ = "omegaconf.of_this_test"

    def __getattr__(self, name: str) -> Any:
        return self[name]


class OfContainer(pl.LightningModule):
    def __init__(self, cfg: Any) -> None:
        super().__init__()
        self.save_hyperparameters(cfg)
        self._hparams = Dotted(cfg)  # as Lightning keeps what is no plain dict
        self.body = nn.Linear(2, cfg.width)


def test_a_container_of_omegaconf_stays_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = types.ModuleType(Dotted.__module__)
    home.Dotted = Dotted  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "omegaconf", types.ModuleType("omegaconf"))
    monkeypatch.setitem(sys.modules, Dotted.__module__, home)
    result = result_of(tmp_path / "search", lambda config: OfContainer(Dotted(config)))
    path = result.export(tmp_path / "front", objects=True) / "trial_00000" / "model_with_objects.ckpt"
    assert OfContainer.load_from_checkpoint(path, weights_only=False).body.out_features == 5


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda config: Plain(config["width"]), r"Plain keeps no hyperparameters.*save_hyperparameters\(\)"),
        (unpicklable, r"hyperparameters of Composed cannot be pickled.*load_from_checkpoint"),
    ],
)
def test_what_has_no_such_hyperparameters_is_refused(tmp_path: Path, build: Any, message: str) -> None:
    result = result_of(tmp_path / "search", build)
    with pytest.raises(PrimoError, match=message):
        result.export(tmp_path / "front", objects=True)
    assert not (tmp_path / "front").exists()
