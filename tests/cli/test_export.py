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
from lightning_primo.cli.main import main
from lightning_primo.cli.project.project import Project
from lightning_primo.errors import CheckpointError, InvalidArgumentError, PrimoError, SearchMismatchError
from lightning_primo.layout import trial_directory
from lightning_primo.problem import Problem
from tests.cli.searches import written
from tests.results.search_log import ERROR, PARAMETERS, Log
from tests.tiny import Net

pytestmark = pytest.mark.usefixtures("_quiet")


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
        of_training = {"optimizer_states": [], "lr_schedulers": [], "callbacks": {}}
        checkpoint = {"epoch": 2, "global_step": 6, "pytorch-lightning_version": "2.6.0", **of_training}
        torch.save({**checkpoint, "state_dict": Net(width=width).state_dict()}, folder / "last.ckpt")
    written(directory, log)
    if project:
        path = directory.parent / "config.yaml"
        path.write_text(yaml.safe_dump(CONFIG))
        Project.open([path]).for_search(encoded=[], max_epochs=2).write(directory)


def test_a_study_has_no_weights_and_has_lost_none(tmp_path: Path) -> None:
    written(tmp_path / "study")
    with pytest.raises(PrimoError, match=r"no Search has trained anything in .* In a Study") as told:
        exported(tmp_path / "study", "--out", tmp_path / "front")
    assert not isinstance(told.value, CheckpointError)  # of one that is gone
    assert "--csv" in str(told.value)
    assert not (tmp_path / "front").exists()


def test_the_front_of_a_project_comes_with_its_configs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    searched(tmp_path / "search", project=True)
    monkeypatch.chdir(tmp_path)
    assert exported("search", "--out", "front") == 0
    assert capsys.readouterr().out.splitlines() == [
        str(tmp_path / "front" / "README.md"),
        str(tmp_path / "front" / "front.csv"),
        *(
            f"{tmp_path / 'front' / name}: config.json, config.yaml, model.ckpt, objectives.json, state_dict.pt"
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
    folder = "front/trial_00001"
    arguments = ["validate", "--config", f"{folder}/config.yaml", "--ckpt_path", f"{folder}/model.ckpt"]
    monkeypatch.setattr(sys, "argv", ["main.py", *arguments])
    found = LightningCLI(save_config_callback=None).model.state_dict()
    assert all(torch.equal(found[name], weight) for name, weight in state.items())


def test_onnx_of_chosen_trials(tmp_path: Path) -> None:
    searched(tmp_path / "search", project=True)
    exported(tmp_path / "search", "--out", tmp_path / "chosen", "--onnx", "--trust", "--trial", "1")
    assert sorted(path.name for path in (tmp_path / "chosen").iterdir()) == ["README.md", "exported.csv", "trial_00001"]
    session = onnxruntime.InferenceSession(str(tmp_path / "chosen" / "trial_00001" / "model.onnx"))
    (given,) = session.get_inputs()
    assert session.run(None, {given.name: torch.randn(5, 2).numpy()})[0].shape == (5, 1)
    with pytest.raises(InvalidArgumentError, match="'trial' is 7"):
        exported(tmp_path / "search", "--out", tmp_path / "other", "--trial", "7")


def test_objects_of_chosen_trials(planted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", str(planted), "--out", str(tmp_path / "front"), "--objects"]) == 2
    assert "'--objects' builds the networks, which runs what" in capsys.readouterr().err
    base = json.loads(json.dumps(Project.open([tmp_path / "config.yaml"]).base))
    changed_project(planted, cli=None, base=base)
    exported(planted, "--out", tmp_path / "front", "--objects", "--trust", "--trial", "1")
    path = tmp_path / "front" / "trial_00001" / "model_with_objects.ckpt"
    assert Net.load_from_checkpoint(path, weights_only=False, map_location="cpu").hparams == {
        "lr": 0.01,
        "width": 8,
        "behaviour": "",
    }
    assert not (tmp_path / "ran").exists()


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


def test_a_project_that_is_gone_costs_nothing_but_what_runs_it(tmp_path: Path) -> None:
    searched(tmp_path / "search", project=True)
    changed_project(tmp_path / "search", cli="main.py", folder=str(tmp_path / "gone"))
    exported(tmp_path / "search", "--out", tmp_path / "front")
    config = yaml.safe_load((tmp_path / "front" / "trial_00001" / "config.yaml").read_text())
    assert (config["model"]["init_args"]["width"], config["trainer"]["max_epochs"]) == (8, 2)
    assert (tmp_path / "front" / "trial_00001" / "state_dict.pt").exists()
    with pytest.raises(PrimoError, match="does not exist any more"):
        exported(tmp_path / "search", "--out", tmp_path / "onnx", "--onnx", "--trust")


def test_what_is_said_of_the_project_but_cannot_be_read_costs_the_configs_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    searched(tmp_path / "search", project=True)
    changed_project(tmp_path / "search", base={"model": []})
    exported(tmp_path / "search", "--out", tmp_path / "front")
    assert "config.yaml of trial 1 is left out: 'model.init_args.lr' leads into a list" in capsys.readouterr().err
    changed_project(tmp_path / "search", base=[])
    exported(tmp_path / "search", "--out", tmp_path / "front", "--overwrite")
    assert "config.yaml is left out: " in capsys.readouterr().err
    assert sorted(path.name for path in (tmp_path / "front" / "trial_00001").iterdir()) == [
        "config.json",
        "model.ckpt",
        "objectives.json",
        "state_dict.pt",
    ]


def changed_project(directory: Path, **changes: object) -> None:
    path = directory / "project.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


@pytest.fixture
def planted(tmp_path: Path, process: None) -> Path:
    """A search's directory whose project leaves a file ``ran`` in `tmp_path` as soon as anything of it is run."""
    searched(tmp_path / "search", project=True)
    mark = f"open({str(tmp_path / 'ran')!r}, 'w').close()\n"
    (tmp_path / "planted_script.py").write_text(mark)
    (tmp_path / "planted_classes.py").write_text(mark)
    base = {**CONFIG, "model": {"class_path": "planted_classes.Net", "init_args": {}}}
    changed_project(tmp_path / "search", cli="planted_script.py", folder=str(tmp_path), base=base)
    return tmp_path / "search"


def test_reading_runs_nothing_of_the_directory(
    planted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))  # as where the commands are run by python -m
    for command in (["status"], ["front"], ["front", "--all", "--csv"], ["plot"], ["export", "--out", "front"]):
        assert main([command[0], "search", *command[1:]]) == 0
    assert main(["export", "search", "--out", "onnx", "--onnx"]) == 2
    error = capsys.readouterr().err
    assert f"runs what {str(planted / 'project.json')!r} names: the script 'planted_script.py' and the classes" in error
    assert f"'planted_classes.Net', 'tests.tiny.Data', as found from the folder {str(tmp_path)!r}" in error
    assert "add --trust; or give your own copy of the project by --config" in error
    assert not (tmp_path / "onnx").exists()
    assert not (tmp_path / "ran").exists()
    assert main(["export", "search", "--out", "onnx", "--onnx", "--trust"]) != 0  # the script makes no LightningCLI
    assert "running what the search's directory names: the script 'planted_script.py'" in capsys.readouterr().err
    assert (tmp_path / "ran").exists()


def test_class_paths_are_compared_by_text_alone(planted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    project = Project.of_search(planted)
    assert project is not None
    config = project.config_file({"model.class_path": "planted_classes.Other", "model.init_args.lr": 0.1})
    assert config["model"] == {"class_path": "planted_classes.Other", "init_args": {"lr": 0.1}}
    assert not (tmp_path / "ran").exists()


def test_a_class_of_two_names_keeps_its_arguments(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump({**CONFIG, "optimizer": {"class_path": "torch.optim.SGD", "init_args": {"lr": 3}}}))
    names = ["torch.optim.sgd.SGD", "torch.optim.Adam"]
    opened = Project.open([path]).for_search(encoded=[], max_epochs=2, choices={"optimizer.class_path": names})
    opened.write(tmp_path / "search")
    project = Project.of_search(tmp_path / "search")
    assert project is not None
    same, other = (project.config_file({"optimizer.class_path": name})["optimizer"] for name in names)
    assert (same["class_path"], same["init_args"]["lr"]) == (names[0], 3)
    assert other == {"class_path": names[1], "init_args": {}}


def test_the_own_copy_of_the_project_is_run_in_place_of_the_directory_s(planted: Path, tmp_path: Path) -> None:
    changed_project(planted, base=json.loads(json.dumps(Project.open([tmp_path / "config.yaml"]).base)))
    own = ("--config", tmp_path / "config.yaml")
    exported(planted, "--out", tmp_path / "front", "--onnx", *own, "--trial", "1")
    assert (tmp_path / "front" / "trial_00001" / "model.onnx").exists()
    assert not (tmp_path / "ran").exists()
    (tmp_path / "other.yaml").write_text("model: {init_args: {lr: 0.25}}")
    with pytest.raises(SearchMismatchError, match=r"model\.init_args\.lr was 0\.5 and is 0\.25"):
        exported(planted, "--out", tmp_path / "other", "--onnx", *own, "--config", tmp_path / "other.yaml")
    with pytest.raises(InvalidArgumentError, match="which only --onnx and --objects need"):
        exported(planted, "--out", tmp_path / "other", *own)
