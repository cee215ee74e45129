from __future__ import annotations

from pathlib import Path

import pytest

from lightning_primo.cli.project.not_run import not_run
from lightning_primo.cli.project.project import Project
from lightning_primo.errors import InvalidArgumentError

SCRIPT = """
import lightning.pytorch as pl
from lightning.pytorch.cli import LightningCLI
from lightning.pytorch.demos.boring_classes import BoringModel

class OwnTrainer(pl.Trainer):
    def fit(self, *args, **kwargs):
        super().fit(*args, **kwargs)

class OwnCLI(LightningCLI):
    def before_fit(self):
        self.model.frozen = True

OwnCLI(BoringModel, trainer_class=OwnTrainer)
"""


@pytest.mark.usefixtures("process", "_quiet")
def test_what_of_a_command_line_of_its_own_is_not_run_is_told(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(SCRIPT)
    project = Project.open([], str(tmp_path / "own.py"))
    with project.active():
        hook, trainer = not_run(project)
    assert hook.startswith("OwnCLI.before_fit() is not called in a search")
    assert trainer.startswith("trainer_class=OwnTrainer is not used")


ARGUMENTS = """
from lightning.pytorch.cli import LightningCLI
from main import LitClassifier, MyDataModule

def listed():
    LightningCLI(LitClassifier, MyDataModule, args=["fit", "--model.learning_rate=0.25"])

def mapped():
    LightningCLI(LitClassifier, MyDataModule, run=False, args={"model": {"learning_rate": 0.25}})

def tests():
    LightningCLI(LitClassifier, MyDataModule, args=["test", "--model.learning_rate=0.25"])
"""


def test_arguments_that_a_script_gives_itself(
    classifier: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own.py").write_text(ARGUMENTS)
    (tmp_path / "config.yaml").write_text("model: {learning_rate: 0.5}")
    monkeypatch.syspath_prepend(classifier)
    for function in ("listed", "mapped"):
        project = Project.open([], f"{tmp_path / 'own.py'}:{function}")
        assert project.module({}).hparams["learning_rate"] == 0.25
        assert project.module({"model.learning_rate": 0.1}).hparams["learning_rate"] == 0.1
        with project.active():
            assert not_run(project) == []
        given = Project.open([tmp_path / "config.yaml"], f"{tmp_path / 'own.py'}:{function}")
        assert given.module({}).hparams["learning_rate"] == 0.5
        with given.active():
            (sentence,) = not_run(given)
        assert sentence.startswith("the 'args' that the script gives LightningCLI are not read")
    with pytest.raises(InvalidArgumentError, match="subcommand 'test'"):
        Project.open([], f"{tmp_path / 'own.py'}:tests")


def test_of_an_ordinary_one_there_is_nothing_to_tell(classifier: Path) -> None:
    project = Project.open(["config.yaml"], "main.py")
    with project.active():
        assert not_run(project) == []
