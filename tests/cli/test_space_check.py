from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from lightning_primo.cli.project.instances import Instances
from lightning_primo.cli.project.project import Project
from lightning_primo.cli.search_file.space_check import check_space_fits
from lightning_primo.cli.search_file.space_file import read_space
from lightning_primo.errors import InvalidArgumentError, UnknownNameError

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
