"""What a search of the command line begins with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from lightning_primo import read_result
from lightning_primo.cli.main import main
from lightning_primo.cli.project.project import Project
from lightning_primo.cli.search_file.beginning_file import (
    own_config,
    read_continues,
    read_first,
    read_known,
    with_own_defaults,
)
from lightning_primo.cli.search_file.space_file import SearchSpace, read_space
from lightning_primo.errors import InvalidArgumentError, UnknownNameError

SPACE: dict[str, Any] = {
    "model.class_path": ["networks.Perceptron", "networks.Linear"],
    "model.init_args.widths": {"choice": [[8], [16]], "if": {"model.class_path": "networks.Perceptron"}},
    "data.init_args.batch_size": [16, 32],
    "optimizer.init_args.lr": {"float": [1e-3, 0.3], "log": True},
}
OWN = {
    "model.class_path": "networks.Perceptron",
    "model.init_args.widths": "[16]",
    "data.init_args.batch_size": 32,
    "optimizer.init_args.lr": 0.1,
}


def project(**changes: Any) -> Project:
    base = {
        "model": {"class_path": "networks.Perceptron", "init_args": {"widths": [16]}},
        "data": {"init_args": {"batch_size": 32}},
        "optimizer": {"class_path": "torch.optim.SGD", "init_args": {"lr": 0.1}},
    }
    return Project(configs=(), cli=None, folder=".", base={**base, **changes})


def space(**changes: Any) -> SearchSpace:
    return read_space({**SPACE, **changes})


def test_the_own_config_in_and_outside_of_the_space() -> None:
    assert own_config(project(), space()) == OWN
    linear = {key: value for key, value in OWN.items() if "widths" not in key} | {"model.class_path": "networks.Linear"}
    assert own_config(project(model={"class_path": "networks.Linear", "init_args": {}}), space()) == linear
    for changes, text in (
        ({"optimizer": {"init_args": {"lr": 0.9}}}, r"'optimizer.init_args.lr' is 0.9 in it, .*\[0.001, 0.3\]"),
        ({"optimizer": {"class_path": "torch.optim.SGD"}}, "does not say 'optimizer.init_args.lr'"),
        ({"model": {"class_path": "networks.Perceptron", "init_args": {"widths": [9]}}}, "widths' is .*9"),
        ({"model": {"class_path": "networks.Conv"}}, "class_path' is 'networks.Conv'"),
    ):
        told = own_config(project(**changes), space())
        assert isinstance(told, str)
        with pytest.raises(InvalidArgumentError, match=text):
            raise InvalidArgumentError(told)


def test_the_defaults_of_the_space_are_those_of_the_config() -> None:
    adapted = with_own_defaults(space(), project())
    assert {key: hyperparameter.default_value for key, hyperparameter in adapted.space.items()} == OWN
    other = with_own_defaults(space(), project(optimizer={"init_args": {"lr": 0.9}}))
    assert other.space["optimizer.init_args.lr"].default_value == space().space["optimizer.init_args.lr"].default_value
    assert str(adapted.space.conditions) == str(space().space.conditions)


def test_entries_of_the_search_file() -> None:
    assert read_first([{"model.init_args.widths": [8]}], space()) == [{"model.init_args.widths": "[8]"}]
    entry = {"config": {"model.init_args.widths": [8]}, "values": {"val_loss": 1.0}, "epoch": 3}
    known = read_known(["old.csv", entry], space(), project())
    assert known == ["old.csv", ({"model.init_args.widths": "[8]"}, {"val_loss": 1.0}, 3)]
    assert read_continues(None, space(), project()) is None
    continuation = read_continues({"directory": "old", "any_length": True}, space(), project())
    assert continuation is not None
    assert (Path(continuation.directory).name, continuation.any_length) == ("old", True)
    with pytest.raises(InvalidArgumentError, match="'first' must be a list"):
        read_first({"lr": 1}, space())
    with pytest.raises(InvalidArgumentError, match="entry 1"):
        read_known([{"config": {}}], space(), project())
    with pytest.raises(UnknownNameError, match="'epochs'"):
        read_known([{**entry, "epochs": 3}], space(), project())
    with pytest.raises(UnknownNameError, match="'length'"):
        read_continues({"directory": "old", "length": 3}, space(), project())


def test_a_search_begins_with_the_config_and_another_goes_on(
    classifier: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    search: dict[str, Any] = {
        "cli": "main.py",
        "space": {"model.learning_rate": {"float": [1e-4, 0.1], "log": True}},
        "objectives": [{"class_path": "Metric", "init_args": {"name": "val_acc", "mode": "max"}}],
        "algorithm": "RandomSearch",
        "first": [{"model.learning_rate": 0.05}],
        "budget": {"trials": 2},
    }

    def run(name: str, *options: str, **changes: Any) -> int:
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump({**search, **changes}, sort_keys=False))
        command = ["search", "--config", "config.yaml", "--search", str(tmp_path / f"{name}.yaml"), *options]
        return main([*command, "--directory", str(tmp_path / name)])

    assert run("old") == 0
    assert "the project's own config is tried first" in capsys.readouterr().err
    old = read_result(tmp_path / "old")
    assert [trial.config["model.learning_rate"] for trial in old.trials] == [0.002, 0.05]
    wider = {**search["space"], "data.batch_size": [32, 64, 128]}
    changes = {"space": wider, "continues": str(tmp_path / "old"), "first": [], "budget": {"trials": 1}}
    assert run("new", objectives=[*search["objectives"], "ParameterCount"], config_first=False, **changes) == 0
    told = capsys.readouterr().err
    assert "2 of 2 results are known here" in told
    assert "taken for what was trained with: data.batch_size = 64" in told  # as the config has it
    new = read_result(tmp_path / "new")
    assert [trial.known for trial in new.trials] == [True, True, False]
    assert new.trials[0].values["val_acc"] == old.trials[0].values["val_acc"]
    (tmp_path / "more.yaml").write_text("data: {batch_size: 32}")
    assert run("other", "--config", str(tmp_path / "more.yaml"), **changes) == 2
    assert "another config: data.batch_size was 64 and is 32" in capsys.readouterr().err
