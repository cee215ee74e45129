"""Searches by steps of the command line, and the epochs that these come to."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from lightning_primo.cli.main import main
from tests.cli.test_search import changed, written


def test_a_link_from_the_epochs_is_refused(networks: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    search = written(tmp_path, changed(epochs=..., steps=[2, 4]))
    directory = ["--directory", str(tmp_path / "out")]
    assert main(["search", "--config", "config.yaml", "--search", search, *directory, "--quiet"]) != 0
    told = " ".join(capsys.readouterr().err.split())
    assert "the project sets 'model.init_args.total_epochs' from 'trainer.max_epochs' (by link_arguments, or" in told
    assert not (tmp_path / "out" / "trials").exists()


def test_an_exported_config_has_the_epochs_too(classifier: Path, tmp_path: Path) -> None:
    search = {
        "cli": "main.py",
        "space": {"model.learning_rate": {"float": [1e-3, 0.1], "log": True}},
        "objectives": [{"class_path": "Metric", "init_args": {"name": "val_acc", "mode": "max"}}],
        "algorithm": "RandomSearch",
        "steps": [3, 9],  # of 4 batches to an epoch
        "budget": {"trials": 1},
    }
    directory, out = str(tmp_path / "out"), tmp_path / "front"
    command = ["search", "--config", "config.yaml", "--search", written(tmp_path, search), "--directory", directory]
    assert main([*command, "--quiet"]) == 0
    assert main(["export", directory, "--out", str(out)]) == 0
    trainer = yaml.safe_load((out / "trial_00000" / "config.yaml").read_text())["trainer"]
    assert (trainer["max_epochs"], trainer["max_steps"]) == (3, 9)
