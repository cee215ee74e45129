from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from lightning_primo.cli.project.instances import Instances
from lightning_primo.cli.project.project import Project
from lightning_primo.cli.search_file.space_check import check_space_fits
from lightning_primo.cli.search_file.space_file import read_space
from lightning_primo.errors import InvalidArgumentError, UnknownNameError, UnreadHyperparameterWarning

SPACE: dict[str, Any] = {
    "model.class_path": ["networks.Perceptron", "networks.Linear"],
    "model.init_args.widths": {"choice": [[8], [16, 8], [4]], "if": {"model.class_path": "networks.Perceptron"}},
    "data.init_args.batch_size": [16, 32, 64, 128],
    "optimizer.init_args.lr": {"float": [1e-3, 0.3], "log": True},
    "trainer.callbacks.0.init_args.patience": {"integer": [2, 6]},
}


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[Mapping[str, Any]]:
    """The configs that were parsed."""
    configs: list[Mapping[str, Any]] = []
    read = Instances.parse_arguments

    def parse_arguments(self: Instances, parser: Any, args: Any) -> None:
        if isinstance(args, Mapping):
            configs.append(args["fit"])
        read(self, parser, args)

    monkeypatch.setattr(Instances, "parse_arguments", parse_arguments)
    return configs


def test_several_values_are_tried_at_a_time(networks: Path, parsed: list[Mapping[str, Any]]) -> None:
    space = read_space(SPACE)
    project = Project.open(["config.yaml"], "train.py").for_search(encoded=sorted(space.encoded))
    check_space_fits(project, space)
    assert len(parsed) == 4  # as many as the key of the most values has, of 13 values
    assert [config["data"]["init_args"]["batch_size"] for config in parsed] == [16, 32, 64, 128]
    models = [config["model"] for config in parsed]
    assert {model["class_path"] for model in models} == {"networks.Perceptron", "networks.Linear"}
    widths = [model["init_args"].get("widths") for model in models if model["class_path"].endswith("Perceptron")]
    assert sorted(widths) == [[4], [8], [16, 8]]


def test_a_value_that_is_wrong_among_others_is_named(networks: Path) -> None:
    space = {**SPACE, "trainer.callbacks.0.init_args.patience": [2, 6, "often"]}
    with pytest.raises(InvalidArgumentError, match="patience': 'often', which the project refuses"):
        check_space_fits(Project.open(["config.yaml"], "train.py"), read_space(space))


def test_a_key_that_lacks_init_args_is_named_and_no_other(networks: Path) -> None:
    space = {**SPACE, "optimizer.lr": SPACE["optimizer.init_args.lr"]}
    del space["optimizer.init_args.lr"]
    with pytest.raises(UnknownNameError, match=r"'optimizer\.lr'.*'optimizer\.init_args\.lr'"):
        check_space_fits(Project.open(["config.yaml"], "train.py"), read_space(space))


def test_the_parts_of_a_trial_are_made_of_one_reading(networks: Path, parsed: list[Mapping[str, Any]]) -> None:
    project = Project.open(["config.yaml"], "train.py")
    config = {"data.init_args.batch_size": 16, "model.init_args.widths": [4]}
    first, data = project.module(config), project.data(config)
    first.hparams["widths"].append(5)
    again = project.module(config)
    assert data is not None
    assert len(parsed) == 1
    assert again.hparams["widths"] == [4]
    assert again.network[0][0].out_features == 4
    assert project.module({**config, "model.init_args.widths": [6]}).hparams["widths"] == [6]
    project.module({**config, "data.init_args.batch_size": 32})
    assert len(parsed) == 3


def test_modules_of_one_reading_share_no_hyperparameters(classifier: Path) -> None:
    """Where no hook may change the config, what is noted of it in modules is made once."""
    project = Project.open(["config.yaml"], "main.py")
    first = project.module({})
    first.hparams["learning_rate"] = None
    assert project.module({}).hparams["learning_rate"] == 0.002


OWN_ARGUMENTS = """
from lightning.pytorch.callbacks import EarlyStopping
from lightning.pytorch.cli import LightningCLI
from main import LitClassifier, MyDataModule

class Own(LightningCLI):
    def add_arguments_to_parser(self, parser):
        parser.add_argument("--temperature", type=float, default=1.0)
        parser.add_argument("--size", type=int, default=8)
        parser.link_arguments("size", "data.batch_size")
        parser.add_lightning_class_args(EarlyStopping, "stopping")
        parser.set_defaults({"stopping.monitor": "val_loss"})

    def before_fit(self):
        self.model.temperature = self.config.temperature

class Hooked(Own):
    def before_instantiate_classes(self):
        HOOK

def cli_main():
    CLASS(LitClassifier, MyDataModule)
"""
ALL_READ = {"size": [8, 16], "stopping.patience": [2, 4], "model.learning_rate": [0.1, 0.2]}


def _with_own_arguments(classifier: Path, folder: Path, space: Mapping[str, Any], **replaced: str) -> None:
    text = OWN_ARGUMENTS
    for name, code in {"HOOK": "pass", "CLASS": "Own", **replaced}.items():
        text = text.replace(name, code)
    (folder / "own.py").write_text(text)
    (folder / "config.yaml").write_text("model: {learning_rate: 0.5}")
    check_space_fits(Project.open([folder / "config.yaml"], f"{folder / 'own.py'}:cli_main"), read_space(space))


def test_an_argument_of_the_projects_own_that_reaches_nothing_is_refused(
    classifier: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(classifier)
    with pytest.raises(InvalidArgumentError, match=r"'space' has 'temperature', an argument .* no link"):
        _with_own_arguments(classifier, tmp_path, {**ALL_READ, "temperature": [0.5, 1.0]})


def test_one_that_a_hook_may_read_is_not(classifier: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(classifier)
    space = {**ALL_READ, "temperature": [0.5, 1.0]}
    _with_own_arguments(classifier, tmp_path, space, CLASS="Hooked", HOOK="print(self.config.fit.temperature)")


def test_one_that_no_hook_names_is_told_of(classifier: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(classifier)
    with pytest.warns(UnreadHyperparameterWarning, match="'temperature', .* no hook"):
        _with_own_arguments(
            classifier, tmp_path, {**ALL_READ, "temperature": [0.5, 1.0]}, CLASS="Hooked", HOOK="print(self.config)"
        )


def test_a_class_of_the_projects_own_may_read_its_arguments(
    classifier: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is made in a trial, as the model is."""
    monkeypatch.syspath_prepend(classifier)
    (tmp_path / "settings.py").write_text("class Settings:\n    def __init__(self, threads: int = 1) -> None: ...\n")
    monkeypatch.syspath_prepend(tmp_path)
    defaults = "parser.set_defaults"
    added = f"parser.add_class_arguments(__import__('settings').Settings, 'settings')\n        {defaults}"
    with pytest.warns(UnreadHyperparameterWarning, match=r"'settings\.threads'"):
        _with_own_arguments(classifier, tmp_path, {"settings.threads": [1, 2]}, **{defaults: added})


def test_a_schedule_without_an_optimizer_is_refused(classifier: Path, tmp_path: Path) -> None:
    schedule = {"class_path": "StepLR", "init_args": {"step_size": 1}}
    space = read_space({"lr_scheduler.init_args.gamma": [0.5, 0.9]})
    (tmp_path / "more.yaml").write_text(yaml.safe_dump({"lr_scheduler": schedule}))
    with pytest.raises(InvalidArgumentError, match=r"'lr_scheduler.init_args.gamma', but the config has no optimizer"):
        check_space_fits(Project.open(["config.yaml", tmp_path / "more.yaml"], "main.py"), space)
    (tmp_path / "more.yaml").write_text(
        yaml.safe_dump({"lr_scheduler": schedule, "optimizer": {"class_path": "SGD", "init_args": {"lr": 0.1}}})
    )
    check_space_fits(Project.open(["config.yaml", tmp_path / "more.yaml"], "main.py"), space)
