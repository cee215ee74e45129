from __future__ import annotations

import json
import sys
from pathlib import Path

import onnxruntime
import pytest
import torch
import yaml
from ConfigSpace import ConfigurationSpace, Float, Integer
from lightning.pytorch.cli import LightningCLI

from lightning_primo.cli.commands import export
from lightning_primo.cli.project import Project
from lightning_primo.errors import InvalidArgumentError, PrimoError
from lightning_primo.layout import trial_directory
from lightning_primo.problem import Problem
from tests.cli.searches import written
from tests.results.search_log import ERROR, PARAMETERS, Log
from tests.tiny import Net


@pytest.fixture(autouse=True)
def _no_deprecations(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JSONARGPARSE_DEPRECATION_WARNINGS", "off")  # LightningCLI and its parser are not in step


CONFIG = {
    "seed_everything": 1,
    "model": {"class_path": "tests.tiny.Net", "init_args": {"lr": 0.5, "width": 2}},
    "data": {"class_path": "tests.tiny.Data"},
    "trainer": {
        "max_epochs": 50,
        "accelerator": "cpu",
        **dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False),
    },
}


def exported(*arguments: object) -> int:
    return export.run(export.parser().parse_args([str(argument) for argument in arguments]))


def searched(directory: Path, *, project: bool) -> None:
    """Trials 0 and 1 on the front of a search over the project of `CONFIG`, with checkpoints."""
    space = ConfigurationSpace()
    space.add(Float("model.init_args.lr", (1e-3, 1e-1)), Integer("model.init_args.width", (2, 8)))
    log = Log(Problem(space=space, objectives=(ERROR, PARAMETERS), max_epochs=2))
    for trial_id, width in enumerate((4, 8)):
        config = {"model.init_args.lr": 0.01, "model.init_args.width": width}
        log.train(trial_id, (1.0 / width, 10.0 * width), 2, config=config)
        folder = trial_directory(directory, trial_id)
        folder.mkdir(parents=True)
        torch.save({"state_dict": Net(width=width).state_dict(), "epoch": 2}, folder / "last.ckpt")
    written(directory, log)
    if project:
        path = directory.parent / "config.yaml"
        path.write_text(yaml.safe_dump(CONFIG))
        Project.open([path]).for_search(encoded=[], max_epochs=2).write(directory)


def test_the_front_of_a_project_comes_with_its_configs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    searched(tmp_path / "search", project=True)
    monkeypatch.chdir(tmp_path)
    assert exported("search", "--out", "front") == 0
    assert capsys.readouterr().out.splitlines() == [
        str(tmp_path / "front" / "front.csv"),
        *(
            f"{tmp_path / 'front' / name}: config.json, config.yaml, objectives.json, state_dict.pt"
            for name in ("trial_00000", "trial_00001")
        ),
    ]
    config = yaml.safe_load((tmp_path / "front" / "trial_00000" / "config.yaml").read_text())
    assert config["model"]["init_args"]["lr"] == 0.01
    assert config["trainer"]["max_epochs"] == 2
    monkeypatch.setattr(sys, "argv", ["main.py", "fit", "--config", "front/trial_00000/config.yaml"])
    cli = LightningCLI(save_config_callback=None)
    assert (cli.trainer.current_epoch, cli.model.net[0].out_features) == (2, 4)
    state = torch.load(tmp_path / "front" / "trial_00001" / "state_dict.pt", weights_only=True)
    Net(width=8).load_state_dict(state)


def test_onnx_of_chosen_trials(tmp_path: Path) -> None:
    searched(tmp_path / "search", project=True)
    exported(tmp_path / "search", "--out", tmp_path / "chosen", "--onnx", "--trial", "1")
    assert sorted(path.name for path in (tmp_path / "chosen").iterdir()) == ["exported.csv", "trial_00001"]
    session = onnxruntime.InferenceSession(str(tmp_path / "chosen" / "trial_00001" / "model.onnx"))
    (given,) = session.get_inputs()
    assert session.run(None, {given.name: torch.randn(5, 2).numpy()})[0].shape == (5, 1)
    with pytest.raises(InvalidArgumentError, match="'trial' is 7"):
        exported(tmp_path / "search", "--out", tmp_path / "other", "--trial", "7")


def test_a_search_made_in_python_has_no_configs(tmp_path: Path) -> None:
    searched(tmp_path / "search", project=False)
    exported(tmp_path / "search", "--out", tmp_path / "front")
    assert not (tmp_path / "front" / "trial_00000" / "config.yaml").exists()
    assert json.loads((tmp_path / "front" / "trial_00000" / "config.json").read_text())["model.init_args.width"] == 4
    with pytest.raises(PrimoError, match="without the code that builds its modules"):
        exported(tmp_path / "search", "--out", tmp_path / "front", "--onnx", "--overwrite")
    with pytest.raises(InvalidArgumentError, match="is not empty"):
        exported(tmp_path / "search", "--out", tmp_path / "front")
    exported(tmp_path / "search", "--out", tmp_path / "front", "--overwrite")


def test_a_project_that_is_gone_costs_the_configs_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    searched(tmp_path / "search", project=True)
    stored = json.loads((tmp_path / "search" / "project.json").read_text())
    gone = {**stored, "cli": "main.py", "folder": str(tmp_path / "gone")}
    (tmp_path / "search" / "project.json").write_text(json.dumps(gone))
    exported(tmp_path / "search", "--out", tmp_path / "front")
    assert "config.yaml is left out, the project cannot be opened: " in capsys.readouterr().err
    assert (tmp_path / "front" / "trial_00001" / "state_dict.pt").exists()
    with pytest.raises(PrimoError, match="does not exist any more"):
        exported(tmp_path / "search", "--out", tmp_path / "onnx", "--onnx")
