from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from lightning_primo import read_result
from lightning_primo.cli.main import main
from lightning_primo.cli.project.project import Project
from tests.cli.conftest import PROJECTS
from tests.forks import Forks
from tests.lean_imports import search_path

NETWORKS: dict[str, Any] = {
    "cli": "train.py",
    "space": {
        "model.class_path": ["networks.Perceptron", "networks.Linear"],
        "model.init_args.widths": {"choice": [[8], [16, 8]], "if": {"model.class_path": "networks.Perceptron"}},
        "data.init_args.batch_size": [16, 32],
        "optimizer.init_args.lr": {"float": [1e-3, 0.3], "log": True},
        "trainer.callbacks.0.init_args.patience": {"integer": [2, 6]},
    },
    "objectives": [{"class_path": "Metric", "init_args": {"name": "val_loss", "mode": "min"}}, "ParameterCount"],
    "constraints": [{"class_path": "FLOPs", "init_args": {"at_most": 1e7}}],
    "algorithm": {
        "class_path": "PriMO",
        "init_args": {
            "n_init": 2,
            "priors": {"val_loss": {"center": {"model.init_args.widths": [16, 8], "optimizer.init_args.lr": 0.1}}},
        },
    },
    "epochs": [1, 2],
    "budget": {"full_trainings": 2},
}


def written(folder: Path, search: dict[str, Any] | str) -> str:
    path = folder / "search.yaml"
    path.write_text(search if isinstance(search, str) else yaml.safe_dump(search, sort_keys=False))
    return str(path)


def changed(**entries: Any) -> dict[str, Any]:
    return {name: value for name, value in {**NETWORKS, **entries}.items() if value is not ...}


def test_a_search_of_a_script_and_on_with_it(
    classifier: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    search = {
        "cli": "main.py",
        "space": {
            "model.learning_rate": {"float": [1e-4, 0.1], "log": True},
            "model.backbone.init_args.hidden_dim": {"integer": [4, 32]},
            "data.batch_size": [64, 128],
        },
        "objectives": [{"class_path": "Metric", "init_args": {"name": "val_acc", "mode": "max"}}, "ParameterCount"],
        "algorithm": "RandomSearch",
    }
    directory = tmp_path / "out"
    command = ["search", "--config", "config.yaml", "--search", written(tmp_path, search)]
    command += ["--directory", str(directory), "--quiet"]
    before = sys.modules["__main__"]
    assert main([*command, "--budget.trials", "2"]) == 0
    out, err = capsys.readouterr()
    assert (out, err) == ("", "")
    assert read_result(directory).summary().startswith("2 trials (2 ok)\n4 epochs = 2 full trainings\n")
    assert sys.modules["__main__"] is before
    assert sorted(path.name for path in directory.iterdir() if path.suffix in (".png", ".csv", ".json", ".html")) == [
        "environment.json",
        "front.png",
        "hypervolume.png",
        "project.json",
        "report.html",
        "trials.csv",
    ]
    first = pd.read_csv(directory / "trials.csv")
    assert main([*command, "--budget.trials", "3"]) == 0  # the total over both
    table = pd.read_csv(directory / "trials.csv")
    assert len(table) == 3
    assert table["val_acc"][:2].tolist() == first["val_acc"].tolist()
    assert table["val_acc"].max() > 0.15
    project = Project.of_search(directory)
    config = project.resolved({"data.batch_size": 128})
    assert (config["data"]["batch_size"], config["trainer"]["max_epochs"]) == (128, 2)
    json.loads((directory / "project.json").read_text())
    # The config is compared: another one would mix what cannot be compared.
    (tmp_path / "more.yaml").write_text("trainer: {gradient_clip_val: 1.0}")
    capsys.readouterr()
    assert main([*command, "--config", str(tmp_path / "more.yaml"), "--budget.trials", "4"]) == 2
    assert "with another config: trainer.gradient_clip_val was None and is 1.0" in capsys.readouterr().err


def test_fractions_of_the_data_are_an_entry_and_an_option(
    classifier: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    search = {
        "cli": "main.py",
        "space": {"model.learning_rate": {"float": [1e-4, 0.1], "log": True}},
        "objectives": [{"class_path": "Metric", "init_args": {"name": "val_acc", "mode": "max"}}],
        "algorithm": "MOASHA",
    }
    command = ["search", "--config", "config.yaml", "--search", written(tmp_path, search)]
    directory = tmp_path / "out"
    assert main([*command, f"--directory={directory}", "--data", "[1/3, 1]", "--budget.full_trainings=2"]) == 0
    err = capsys.readouterr().err
    assert "[0.3333/2 full trainings] trial 0 -> 1/3 of the data: val_acc" in err
    assert "not heeded" not in err
    result = read_result(directory)
    assert [trial.cost for trial in result.trials if trial.trained_fully] == [4.0]  # a third, and all
    assert main(["status", str(directory), "--json"]) == 0
    status = json.loads(capsys.readouterr().out)
    assert (status["unit"], status["data"]) == ("data", {"shortest": pytest.approx(1 / 3), "full": 1.0})
    assert [rung["data"] for rung in status["rungs"]] == [pytest.approx(1 / 3), 1.0]
    assert main(["status", str(directory)]) == 0
    text = capsys.readouterr().out
    assert "1/3 to 1 of the data, seed " in text
    assert "rungs          1/3 of the data: 3 trained; 1 of the data: 1 trained" in text
    assert "spent          2 full trainings, " in text
    assert main(["front", str(directory), "--all"]) == 0
    assert " data " in capsys.readouterr().out
    entry = written(tmp_path, {**search, "data": ["1/9", 1]})
    assert main(["search", "--config", "config.yaml", "--search", entry, f"--directory={tmp_path}", "--print"]) == 0
    assert "  data: 1/9 to 1\n" in capsys.readouterr().out
    assert main([*command, "--data", "[1/3, 1]", "--epochs", "[1, 3]"]) == 2
    err = capsys.readouterr().err
    assert "'epochs' and 'data' are both given" in err
    assert "the config's trainer.max_epochs says how long each is" in err
    assert main([*command, "--data", "[1/3, 0.5]"]) == 2
    assert "'data' must end with 1" in capsys.readouterr().err
    (tmp_path / "more.yaml").write_text("trainer: {max_epochs: 3}")
    changed_epochs = ["--config", str(tmp_path / "more.yaml"), f"--directory={directory}", "--data", "[1/3, 1]"]
    assert main([*command, *changed_epochs]) == 2
    assert "max_epochs" in capsys.readouterr().err


def test_seeds_and_folds_are_entries_of_a_search_file(
    networks: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["search", "--quiet", "--budget.trials=1", "--config", "config.yaml"]
    twice = written(tmp_path, changed(algorithm="RandomSearch", epochs=[1, 1], repeats=2))
    assert main([*command, f"--directory={tmp_path / 'out'}", "--search", twice]) == 0
    (trial,) = read_result(tmp_path / "out").trials
    assert (trial.replicates, trial.cost) == (2, 2)
    assert trial.measurements["val_loss_spread"] > 0
    assert main(["search", "--config", "config.yaml", "--search", twice, f"--directory={tmp_path}", "--print"]) == 0
    assert "  seeds of each full training: 2\n" in capsys.readouterr().out
    folded = written(tmp_path, changed(algorithm="RandomSearch", folds=5))
    assert main([*command, f"--directory={tmp_path / 'folded'}", "--search", folded]) == 2
    assert "has no method 'fold'; give it a method fold(self, i, k)" in capsys.readouterr().err


def test_a_search_that_could_not_begin_is_corrected(
    networks: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["search", f"--directory={tmp_path / 'out'}", "--quiet", "--budget.trials=1", "--config", "config.yaml"]
    misspelt = {"class_path": "Metric", "init_args": {"name": "val_los", "mode": "min"}}
    wrong = changed(objectives=[misspelt], algorithm=...)
    assert main([*command, "--search", written(tmp_path, wrong)]) == 2
    assert "'val_los' is an objective" in capsys.readouterr().err
    (tmp_path / "more.yaml").write_text("trainer: {gradient_clip_val: 1.0}")
    right = written(tmp_path, changed(algorithm=...))
    assert main([*command, str(tmp_path / "more.yaml"), "--search", right]) == 0  # the second file of --config
    project = Project.of_search(tmp_path / "out")
    assert project is not None
    assert project.base["trainer"]["gradient_clip_val"] == 1.0


def test_promotions_with_links_callbacks_and_a_logger(
    networks: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    directory = tmp_path / "out"
    command = ["search", "--config", "config.yaml", "--search", written(tmp_path, NETWORKS), "--quiet"]
    assert main([*command, "--directory", str(directory)]) == 0
    out, err = capsys.readouterr()
    assert "failed" not in out
    assert "error" not in out
    table = pd.read_csv(directory / "trials.csv")
    assert set(table["status"]) <= {"ok", "rejected"}
    assert table["epoch"].max() == 2
    assert list(directory.rglob("events.out.tfevents*"))
    assert not (networks / "logs").exists()
    assert err == ""


def test_what_would_be_searched(networks: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    directory = tmp_path / "out"
    command = ["search", "--config", "config.yaml", "--search", written(tmp_path, NETWORKS), "--print"]
    assert main([*command, "--directory", str(directory), "--seed", "5", "--epochs", "3"]) == 0
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert "own config is not tried, as it is not in the space: 'model.init_args.widths' is [16] in it" in err
    widths, drawn = (line for line in lines if line.startswith("  model.init_args.widths"))
    assert set(drawn.split("  ")) >= {"[16, 8]", "-"}  # of three configurations, one of which has none
    assert "choice [[8], [16, 8]]" in widths
    assert "now [16]" in widths
    assert widths.endswith('if model.class_path in ["networks.Perceptron"]')
    assert "  val_loss: min, trained" in lines
    assert "  flops: min, exact, at_most 10,000,000" in lines
    assert "    n_init: 2.0" in lines
    assert '      val_loss: center {"model.init_args.widths": "[16, 8]", "optimizer.init_args.lr": 0.1}' in out
    assert "  epochs: 1 to 3" in lines
    assert "  seed: 5" in lines
    assert f"  directory: {directory}" in lines
    (parameters,) = (line.split() for line in lines if line.startswith("  -> parameters"))
    assert len(parameters) == 5
    assert lines[-1] == "one batch: trained; logged: lr-SGD, val_loss"
    assert not directory.exists()


WRONG: list[tuple[dict[str, Any] | str, str]] = [
    ("space: [1", "search.yaml is no YAML: while parsing a flow sequence"),
    ("- space", "search.yaml must hold entries such as 'space: …', got ['space']"),
    ("spcae: {}", "search.yaml: unknown entry 'spcae'; valid choices: 'cli', 'space', 'objectives',"),
    ("quiet: true", "search.yaml: unknown entry 'quiet'; valid choices: 'cli', "),
    (changed(workers="two"), '"workers": Expected a int'),
    (
        changed(space={"modle.lr": [1]}),
        "search.yaml: unknown key in 'space': 'modle.lr'; valid choices: ",
    ),
    (
        changed(space={"model.init_args.widht": [1]}),
        "'model.init_args.widht'; valid choices: 'model.init_args.widths'",
    ),
    (
        changed(space={"model.init_args.dropout": ["a", "b"]}),
        "'model.init_args.dropout': 'a', which the project re",
    ),
    (changed(space={"data.init_args.batch_size": {"float": [8, 16]}}), "'data.init_args.batch_size': 8.0, which"),
    (changed(space={"model.class_path": ["networks.Nope"]}), "'model.class_path': 'networks.Nope', which the project"),
    (changed(space={"trainer.max_epochs": [1, 2]}), "'trainer.max_epochs', which the search sets itself"),
    (changed(space={"seed_everything": [1, 2]}), "'seed_everything', which the search sets itself"),
    (changed(space={"model.init_args.total_epochs": [7, 8]}), "'model.init_args.total_epochs': 7, but the project's"),
    (changed(space={"trainer.callbacks.9.init_args.patience": [1]}), "valid choices: 0 (lightning.pytorch.callbacks.E"),
    (changed(objectives=...), "'objectives' must be a list of at least one"),
    (
        changed(objectives=["Parameters"]),
        "unknown class in 'objectives': 'Parameters'; valid choices: 'DeployedMetric', 'Energy'",
    ),
    (
        changed(objectives=[{"class_path": "Metric", "init_args": {"nmae": "a"}}]),
        "unknown argument of 'Metric' in 'objectives': 'nmae'; valid choices: 'name', 'mode'",
    ),
    (
        changed(objectives=[{"class_path": "Metric", "init_args": {"name": "a", "mode": "up"}}]),
        "'objectives' has 'Metric': ",
    ),
    (
        changed(objectives=[{"class_path": "Metric", "init_args": {"name": "val_los"}}], algorithm=...),
        "search.yaml: the metric 'val_los' is an objective, but the LightningModule did not log it",
    ),
    (changed(constraints=["FLOPs"]), "'flops' without a bound"),
    (changed(algorithm="Primo"), "unknown class in 'algorithm': 'Primo'; valid choices: "),
    (
        changed(algorithm={"class_path": "PriMO", "init_args": {"priors": {"val_loss": {"center": {"lr": 0.1}}}}}),
        "unknown hyperparameter in the prior of objective 'val_loss': 'lr'; valid choices: 'data.init_args.batch_size'",
    ),
    (
        changed(
            algorithm={
                "class_path": "PriMO",
                "init_args": {"priors": {"val_loss": {"center": {"optimizer.init_args.lr": 7}}}},
            }
        ),
        "puts hyperparameter 'optimizer.init_args.lr' at 7; expected",
    ),
    (changed(epochs=[5, 2]), "'epochs' must be two whole numbers"),
    (changed(budget={"trials": -1}), "'trials' must be a positive number"),
    (changed(cli="absent.py"), "'cli' names the script 'absent.py', but there is no file"),
]


@pytest.mark.parametrize(("search", "message"), WRONG)
def test_what_is_wrong_is_said_in_one_line(
    networks: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    search: dict[str, Any] | str,
    message: str,
) -> None:
    directory = tmp_path / "out"
    command = ["search", "--config", "config.yaml", "--search", written(tmp_path, search), "--quiet"]
    assert main([*command, "--directory", str(directory)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("lightning-primo search: ")
    assert message in err
    assert err.count("\n") == 1
    assert not list(directory.rglob("*.ckpt"))


def test_an_exception_of_the_project_is_shown_as_its_own(
    process: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("JSONARGPARSE_DEPRECATION_WARNINGS", "off")
    Path("broken.py").write_text(
        "import lightning.pytorch as pl\n"
        "class Net(pl.LightningModule):\n"
        "    def __init__(self, width: int = 1):\n"
        "        super().__init__()\n"
        "        raise ValueError('no such width')\n"
    )
    Path("c.yaml").write_text("model: {class_path: broken.Net}\ntrainer: {max_epochs: 1}")
    search = {"space": {"model.init_args.width": [1, 2]}, "objectives": ["ParameterCount"]}
    assert main(["search", "--config", "c.yaml", "--search", written(tmp_path, search)]) == 1
    err = capsys.readouterr().err
    assert f'File "{tmp_path / "broken.py"}", line 5, in __init__' in err
    assert err.rstrip().endswith("ValueError: no such width")
    assert "site-packages" not in err
    assert "lightning_primo/" not in err


def test_every_entry_has_its_option(networks: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = [f"--{name}={json.dumps(NETWORKS[name])}" for name in ("space", "objectives", "constraints")]
    options = [
        "--cli=train.py",
        "--algorithm.class_path=MOASHA",
        "--algorithm.eta=2",
        "--epochs=[1,4]",
        "--budget.hours=2",
    ]
    assert main(["search", "--config=config.yaml", *given, *options, f"--directory={tmp_path}", "--print"]) == 0
    out = capsys.readouterr().out
    assert "  MOASHA\n    eta: 2\n" in out
    assert "  epochs: 1 to 4\n  budget: 2 hours\n" in out


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_ctrl_c_and_the_same_command_again(forks: Forks, tmp_path: Path, workers: int) -> None:
    search = changed(
        budget={"trials": 2000}, algorithm="RandomSearch", workers=workers, directory=str(tmp_path / "out")
    )
    command = ["-m", "lightning_primo", "search", "--config", "config.yaml", "--search", written(tmp_path, search)]
    folder = PROJECTS / "digit_networks"
    environment = {
        "PYTHONPATH": search_path(PROJECTS.parents[1]),
        "OMP_NUM_THREADS": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    with forks.started(command, cwd=folder, env=environment) as process:
        while "-> epoch" not in process.stderr:
            assert process.runs(), process.stderr
            time.sleep(0.05)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does
        assert process.wait() == 130, process.stderr
    assert "Traceback" not in process.stderr
    assert "the same call goes on from there" in process.stderr
    n_trials = int(process.stdout.split()[0])
    again = forks.run([*command, "--budget.trials", str(n_trials + 1)], cwd=folder, env=environment)
    assert again.returncode == 0, again.stderr
    assert int(again.stdout.split()[0]) >= n_trials + 1
    assert "error" not in again.stdout


def test_bounds_on_metrics_the_best_epoch_and_rules_that_end_it(
    classifier: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    search = {
        "cli": "main.py",
        "space": {"model.learning_rate": {"float": [1e-4, 0.1], "log": True}},
        "objectives": [{"class_path": "Metric", "init_args": {"name": "val_loss", "at": "best"}}],
        "constraints": [{"class_path": "Metric", "init_args": {"name": "val_acc", "mode": "max", "at_least": 1.5}}],
        "epochs": [1, 1],
        "algorithm": "RandomSearch",
        "budget": {"full_trainings": 9, "device_hours": 1},
        "stop": ["NoImprovement", {"class_path": "Target", "init_args": {"val_loss": 1e9}}],
    }
    arguments = ["search", "--config", "config.yaml", "--search", written(tmp_path, search)]
    arguments += ["--directory", str(tmp_path / "run"), "--quiet"]
    assert main([*arguments, "--budget.trials", "2"]) == 0
    result = read_result(tmp_path / "run")
    assert result.front == ()  # no accuracy is above 1, so that no target is reached either
    assert [trial.feasible for trial in result.trials] == [False, False]
    assert result.ended() == "the budget of 2 trials is used up"
    assert all(trial.measurements["best_epoch"] == 1 for trial in result.trials)
    capsys.readouterr()
    for stop, words in (
        ([{"class_path": "Target", "init_args": {"val_los": 1}}], ["'val_los'", "val_loss"]),
        (["NoImprovment"], ["'NoImprovment'", "NoImprovement", "Target"]),
        ({"class_path": "NoImprovement", "init_args": {"off": 0.1}}, ["'off'", "in_full_trainings"]),
        ([{"class_path": "NoImprovement", "init_args": {"of": 2}}], ["'of'", "below 1"]),
        ([3], ["'stop'", "3"]),
    ):
        path = written(tmp_path, {**search, "stop": stop})
        assert main([*arguments[:3], "--search", path, "--directory", str(tmp_path / "other"), "--print"]) == 2
        error = capsys.readouterr().err
        assert all(word in error for word in words), error
