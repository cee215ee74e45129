"""Projects written with `import pytorch_lightning`, in processes of their own: imports can't be undone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.forks import Forks, Process
from tests.lean_imports import search_path

ROOT = Path(__file__).parent.parent

PROJECT = """
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import EarlyStopping
from pytorch_lightning.loggers import CSVLogger
from torch.utils.data import DataLoader, TensorDataset


class Line(pl.LightningModule):
    def __init__(self, lr):
        super().__init__()
        self.lr, self.layer = lr, torch.nn.Linear(1, 1)

    def training_step(self, batch, batch_idx):
        x, y = batch
        return (self.layer(x) - y).square().mean()

    def validation_step(self, batch, batch_idx):
        x, y = batch
        self.log("val_loss", (self.layer(x) - y).square().mean())

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), self.lr)


class Data(pl.LightningDataModule):
    def train_dataloader(self):
        x = torch.linspace(-1, 1, 8)[:, None]
        return DataLoader(TensorDataset(x, 2 * x), 4)

    val_dataloader = train_dataloader
"""

SEARCH = """
import sys
from ConfigSpace import ConfigurationSpace
from lightning_primo import Metric, ParameterCount, RandomSearch, Search, alias_pytorch_lightning

{first}
import project

trainer = {{"callbacks": project.EarlyStopping("val_loss"), "logger": project.CSVLogger("."), "accelerator": "cpu"}}
search = Search(
    ConfigurationSpace({{"lr": (1e-3, 1e-1)}}), module=project.Line, datamodule=project.Data, trainer=trainer,
    objectives=[Metric("val_loss"), ParameterCount()], algorithm=RandomSearch(), epochs=(1, 2),
    directory=sys.argv[1], workers=int(sys.argv[2]),
)
result = search.run(full_trainings=2, progress=False)
assert [trial.outcome for trial in result.trials] == ["ok", "ok"], result.to_pandas().to_string()
print(type(result.load(result.front[0])).__mro__[1].__module__)
"""


def run(forks: Forks, folder: Path, first: str, workers: int = 1) -> Process:
    (folder / "project.py").write_text(PROJECT)
    (folder / "search.py").write_text(SEARCH.format(first=first))
    environment = {"PYTHONPATH": search_path(ROOT, folder), "PYTHONWARNINGS": "ignore", "OMP_NUM_THREADS": "1"}
    return forks.run(["search.py", "runs", str(workers)], cwd=folder, env=environment)


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_with_the_alias_it_is_searched(forks: Forks, tmp_path: Path, workers: int) -> None:
    done = run(forks, tmp_path, "alias_pytorch_lightning()\nalias_pytorch_lightning()  # once is enough", workers)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "lightning.pytorch.core.module"


def test_without_it_the_error_says_which_package(forks: Forks, tmp_path: Path) -> None:
    done = run(forks, tmp_path, "")
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert "derives from the package pytorch_lightning" in last
    assert "alias_pytorch_lightning()" in last


def test_too_late(forks: Forks, tmp_path: Path) -> None:
    done = run(forks, tmp_path, "import pytorch_lightning\nalias_pytorch_lightning()")
    assert done.returncode == 1
    assert "came too late" in done.stderr.strip().splitlines()[-1]


def test_a_module_of_another_version_is_named_as_the_project_names_it(forks: Forks, tmp_path: Path) -> None:
    done = run(forks, tmp_path, "alias_pytorch_lightning()\nimport pytorch_lightning.utilities.cli")
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("ModuleNotFoundError: No module named 'pytorch_lightning.utilities.cli' in Lightning 2.")


SCRIPT = """
from project import Data, Line
from pytorch_lightning.cli import LightningCLI

LightningCLI(Line, Data)
"""

OPENED = """
import sys
from lightning_primo.cli.project.project import Project

project = Project.open(["config.yaml"], sys.argv[1] if len(sys.argv) > 1 else None)
again = Project.open(["config.yaml"], sys.argv[1] if len(sys.argv) > 1 else None)
assert again.config_file({})["trainer"]["callbacks"][0]["class_path"] == "pytorch_lightning.callbacks.EarlyStopping"
module = project.module({"model.init_args.lr" if len(sys.argv) == 1 else "model.lr": 0.5})
assert type(project.trainer({})["callbacks"][0]).__module__ == "lightning.pytorch.callbacks.early_stopping"
print(module.lr, module.hparams["_instantiator"])
"""


@pytest.mark.parametrize("script", [["main.py"], []])
def test_what_a_trial_leaves_has_the_names_that_its_project_uses(
    forks: Forks, tmp_path: Path, script: list[str]
) -> None:
    saving = PROJECT.replace("super().__init__()", "super().__init__()\n        self.save_hyperparameters()")
    (tmp_path / "project.py").write_text(saving.replace("lr):", "lr: float):"))
    (tmp_path / "main.py").write_text(SCRIPT)
    (tmp_path / "opened.py").write_text(OPENED)
    model = {"lr": 0.1} if script else {"class_path": "project.Line", "init_args": {"lr": 0.1}}
    data = {} if script else {"class_path": "project.Data"}
    stopping = {"class_path": "EarlyStopping", "init_args": {"monitor": "val_loss"}}
    config = {"model": model, "data": data, "trainer": {"callbacks": [stopping]}}
    (tmp_path / "config.yaml").write_text(json.dumps(config))
    environment = {"PYTHONPATH": search_path(ROOT, tmp_path), "PYTHONWARNINGS": "ignore", "OMP_NUM_THREADS": "1"}
    done = forks.run(["opened.py", *script], cwd=tmp_path, env=environment)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "0.5 pytorch_lightning.cli.instantiate_module"
