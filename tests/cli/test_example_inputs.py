from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
import yaml

from lightning_primo.cli.main import main


def searched(folder: Path, example_inputs: str) -> list[str]:
    file = folder / "search.yaml"
    search = {
        "cli": "main.py",
        "space": {"model.learning_rate": {"float": [1e-4, 0.1]}},
        "objectives": [
            {"class_path": "Metric", "init_args": {"name": "val_acc", "mode": "max"}},
            {"class_path": "FLOPs", "init_args": {"batch_size": None}},
            {"class_path": "FLOPs", "init_args": {"name": "one", "example_inputs": "example_batches.ONE"}},
        ],
        "algorithm": "RandomSearch",
        "epochs": [1, 1],
        "example_inputs": example_inputs,
        "budget": {"trials": 1},
    }
    file.write_text(yaml.safe_dump(search))
    command = ["search", "--config", "config.yaml", "--search", str(file), "--directory", str(folder / "out")]
    return [*command, "--quiet"]


def check_flops(folder: Path) -> None:
    table = pd.read_csv(folder / "out" / "trials.csv")
    assert table["one"][0] > 0
    assert table["flops"][0] == 3 * table["one"][0]


def test_a_search_file_names_functions_and_values_of_the_project(classifier: Path, tmp_path: Path) -> None:
    assert main(searched(tmp_path, "example_batches.three")) == 0
    check_flops(tmp_path)


@pytest.mark.parametrize(
    ("path", "message"),
    [("three", "must be an import path"), ("nowhere.three", "no module 'nowhere'"), ("main.three", "has no 'three'")],
)
def test_what_is_not_there_is_told(
    classifier: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], path: str, message: str
) -> None:
    assert main(searched(tmp_path, path)) == 2
    error = capsys.readouterr().err
    assert f"'example_inputs' is '{path}'" in error
    assert message in error
