"""Each recipe end to end, on small data and budgets."""

from pathlib import Path

import pandas as pd
import pytest
from torchvision import datasets

from lightning_primo.store import read_events
from lightning_primo.trial import Evaluation
from models import conv_net_space
from recipes import cifar10, compare, digits, flowers
from recipes.common import ALGORITHMS
from tests.datamodules.test_datamodules import without_checksums, write_cifar, write_flowers17

SMALL = ["--epochs", "1", "2", "--full-trainings", "2", "--quiet"]


def check(directory: Path, output: str, objectives: set[str]) -> pd.DataFrame:
    table = pd.read_csv(directory / "trials.csv")
    assert objectives <= set(table.columns)
    assert (table.status == "ok").any()
    assert "front of" in output
    for picture in ("front.png", "hypervolume.png"):
        assert (directory / picture).stat().st_size > 5_000
        assert str(directory / picture) in output
    return table


def test_digits_goes_on_where_it_stopped(tmp_path, capsys):
    arguments = ["--directory", str(tmp_path), *SMALL]
    digits.main(arguments)
    check(tmp_path, capsys.readouterr().out, {"val_error", "parameters", "latency_cpu", "lr", "n_conv"})
    before = read_events(tmp_path)
    digits.main(arguments)
    assert read_events(tmp_path) == before
    digits.main([*arguments, "--full-trainings", "3"])
    after = read_events(tmp_path)
    assert after[: len(before)] == before
    assert sum(event.cost for event, _ in after if isinstance(event, Evaluation)) >= 6


@pytest.mark.parametrize("algorithm", ["random", "primo"])
def test_flowers_keeps_its_cap(tmp_path, capsys, algorithm):
    write_flowers17(tmp_path / "data")
    chosen = ["--max-flops", "3e5", "--algorithm", algorithm, "--priors", "sensible"]
    flowers.main(
        [
            "--directory",
            str(tmp_path / "run"),
            "--data-dir",
            str(tmp_path / "data"),
            *SMALL,
            *chosen,
        ]
    )
    table = check(tmp_path / "run", capsys.readouterr().out, {"val_error", "parameters", "flops"})
    assert (table[table.status == "ok"].flops <= 3e5).all()


@pytest.mark.parametrize(
    "algorithm",
    [
        "bulk-and-cut",
        *(pytest.param(name, marks=pytest.mark.slow) for name in sorted({*ALGORITHMS} - {"bulk-and-cut"})),
    ],
)
def test_flowers_with_every_algorithm(tmp_path, capsys, algorithm):
    write_flowers17(tmp_path / "data")
    chosen = ["--max-flops", "3e5", "--algorithm", algorithm, "--priors", "sensible"]
    longer = ["--epochs", "1", "3", "--full-trainings", "8", "--quiet"]
    flowers.main(["--directory", str(tmp_path / "run"), "--data-dir", str(tmp_path / "data"), *longer, *chosen])
    table = check(tmp_path / "run", capsys.readouterr().out, {"val_error", "parameters", "flops"})
    assert table.cost.sum() >= 24
    if algorithm == "bulk-and-cut":
        assert {"sample", "deepen", "prune"} <= set(table.operation)
        pruned = table[table.operation == "prune"]
        assert (pruned.parameters < table.set_index("id").parameters[pruned.parent].to_numpy()).all()


@pytest.mark.slow
def test_compare_goes_on_with_what_it_has(tmp_path, capsys):
    arguments = ["digits", "--methods", "random", "sh-emoa", "--directory", str(tmp_path), *SMALL[:-1]]
    compare.main([*arguments, "--seeds", "1", "--workers", "1"])
    first = pd.read_csv(tmp_path / "comparison.csv").set_index("method")
    before = read_events(tmp_path / "random-0")
    compare.main([*arguments, "--seeds", "2"])
    assert read_events(tmp_path / "random-0") == before
    both = pd.read_csv(tmp_path / "comparison.csv").set_index("method")
    assert first.searches.tolist() == [1, 1]
    assert both.searches.tolist() == [2, 2]
    assert first.loc["random", "median"] in both.loc["random", ["least", "greatest"]].tolist()
    assert (tmp_path / "comparison.png").stat().st_size > 5_000
    assert "4 of 4" in capsys.readouterr().out


def test_compare_says_what_is_wrong(tmp_path, capsys):
    with pytest.raises(SystemExit):
        compare.main(["digits", "--seeds", "0"])
    assert "--seeds: must be at least 1" in capsys.readouterr().err


def test_cifar10_runs(tmp_path, capsys, monkeypatch):
    write_cifar(tmp_path / "data", datasets.CIFAR10, 10, "labels", n=20)
    without_checksums(monkeypatch, datasets.CIFAR10)
    one = ["--epochs", "1", "1", "--full-trainings", "1", "--algorithm", "random"]
    cifar10.main(
        [
            "--directory",
            str(tmp_path / "run"),
            "--data-dir",
            str(tmp_path / "data"),
            "--no-download",
            *SMALL,
            *one,
        ]
    )
    check(tmp_path / "run", capsys.readouterr().out, {"val_error", "parameters", "flops"})


@pytest.mark.parametrize("name", flowers.PRIORS)
def test_the_priors_of_the_flowers_recipe_fit_its_space(name):
    for objective, prior in flowers.PRIORS[name].items():
        prior.check(conv_net_space(), objective)
