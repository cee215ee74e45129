from __future__ import annotations

from pathlib import Path

import pytest

from lightning_primo.cli.not_run import not_run
from lightning_primo.cli.project import Project

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


def test_of_an_ordinary_one_there_is_nothing_to_tell(classifier: Path) -> None:
    project = Project.open(["config.yaml"], "main.py")
    with project.active():
        assert not_run(project) == []
