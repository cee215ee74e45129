"""Each recipe end to end, on small data and budgets."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import torch
from torchvision import datasets

from lightning_primo.problem.trial import Evaluation
from lightning_primo.store import read_events
from lightning_primo.workers import InProcess
from models import conv_net_space
from recipes import cifar10, compare, digits, finetune, flowers, on_device, plug_in
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
    assert output.splitlines()[-1] == f"report: {directory / 'report.html'}"
    return table


def test_digits_goes_on_where_it_stopped(tmp_path, capsys):
    arguments = ["--directory", str(tmp_path), *SMALL]
    digits.main(arguments)
    check(tmp_path, capsys.readouterr().out, {"val_error", "parameters", "lr", "n_conv"})
    before = read_events(tmp_path)
    digits.main(arguments)
    assert read_events(tmp_path) == before
    digits.main([*arguments, "--full-trainings", "3"])
    after = read_events(tmp_path)
    assert after[: len(before)] == before
    assert sum(event.cost for event, _ in after if isinstance(event, Evaluation)) >= 6


def test_a_project_is_searched_and_still_fits(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("JSONARGPARSE_DEPRECATION_WARNINGS", "off")  # of LightningCLI's own calls
    monkeypatch.chdir(tmp_path)
    plug_in.main(["--directory", str(tmp_path / "run"), "--algorithm", "random", *SMALL])
    columns = {"val_accuracy", "parameters", "latency_cpu", "latency_cpu_spread", "gradient_clip_val", "batch_size"}
    check(tmp_path / "run", capsys.readouterr().out, columns)
    fit = ["fit", "--model.width", "8", "--trainer.fast_dev_run", "true", "--trainer.enable_progress_bar", "false"]
    monkeypatch.setattr(sys, "argv", ["plug_in", *fit])
    plug_in.main()


@pytest.mark.parametrize("algorithm", [pytest.param("random", marks=pytest.mark.slow), "primo"])
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


def test_finetune_changes_nothing_of_the_model_that_it_adapts(tmp_path):
    few = ["--algorithm", "random", "--steps", "2", "4", "--full-trainings", "2", "--pretraining-steps", "2", "--quiet"]
    result = finetune.run(finetune.parser().parse_args(["--directory", str(tmp_path), *few]))
    table = result.to_pandas()
    assert {"val_loss", "trained_parameters", "steps_per_second", "steps_per_second_spread"} <= set(table.columns)
    best = result.front[0]
    adapted = {name.replace(".base_layer", ""): weight for name, weight in result.load(best).state_dict().items()}
    base = torch.load(tmp_path / "base-2.pt", weights_only=True)
    for name, weight in base.items():
        assert torch.equal(adapted[f"model.base_model.model.{name}"], weight)
    assert any(adapted[name].abs().max() > 0 for name in adapted if "lora_B" in name)
    widths = {"query-value": [(96, 96)] * 2, "attention": [(96, 96)] * 4}
    widths["all-linear"] = [*widths["attention"], (96, 256), (96, 256), (256, 96)]
    for trial in result.trials:  # two matrices beside each layer, of its inputs and outputs by the rank
        sides = sum(map(sum, widths[trial.config["targets"]]))
        assert trial.values["trained_parameters"] == 2 * trial.config["rank"] * sides


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


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--seeds", "0"], "argument --seeds: must be at least 1, got 0"),
        (["--workers", "0"], "argument --workers: must be at least 1, got 0"),
        (["--target", "98"], "argument --target: must be a share above 0 and up to 1, got 98"),
        (["--methods", "randon"], "argument --methods: invalid choice: 'randon'"),
        (["--bogus"], "digits: error: unrecognized arguments: --bogus"),
        (["--full-trainings", "many"], "digits: error: argument --full-trainings: invalid float value: 'many'"),
        (["--algorithm", "random"], "argument --algorithm: every method is an algorithm; name them with --methods"),
        (["--seed=0"], "argument --seed: the searches of a method have the seeds 0, 1, ...; say how many with --seeds"),
        (["--quiet"], "argument --quiet: the searches of a comparison show no progress anyway; leave it out"),
        (["--work", "2"], "digits: error: unrecognized arguments: --work 2"),
    ],
)
def test_compare_says_what_is_wrong_before_it_starts(capsys, monkeypatch, arguments, message):
    monkeypatch.setattr(compare, "LocalProcesses", None)
    with pytest.raises(SystemExit) as end:
        compare.main(["digits", *arguments])
    assert end.value.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.slow
def test_compare_stops_at_ctrl_c_and_goes_on(tmp_path):
    few = ["digits", "--methods", "random", "--seeds", "2", "--workers", "1", "--directory", str(tmp_path)]
    call = [sys.executable, "-m", "recipes.compare", *few, "--epochs", "1", "2", "--full-trainings", "4"]
    process = subprocess.Popen(call, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)
    assert process.stdout is not None
    assert process.stdout.readline().startswith("1 of 2")
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: the workers get it too
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err.splitlines()[-1] == f"stopped; the same call goes on from what is in {tmp_path}"
    assert "Traceback" not in err
    done = read_events(tmp_path / "random-0")
    compare.main([*few, "--epochs", "1", "2", "--full-trainings", "4"])
    assert read_events(tmp_path / "random-0") == done
    assert pd.read_csv(tmp_path / "comparison.csv").searches.tolist() == [2]


@pytest.mark.slow
def test_compare_goes_on_without_a_method_that_another_budget_keeps_from_going_on(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(compare, "LocalProcesses", lambda workers: InProcess())
    arguments = ["digits", "--methods", "random", "sh-emoa", "--directory", str(tmp_path), "--seeds", "1"]
    for budget in ("2", "3"):
        compare.main([*arguments, "--epochs", "1", "2", "--full-trainings", budget])
    assert "sh-emoa, seed 0, is left out: " in capsys.readouterr().out
    assert pd.read_csv(tmp_path / "comparison.csv").method.tolist() == ["random"]


def write_small_cifar10(tmp_path, monkeypatch):
    write_cifar(tmp_path / "data", datasets.CIFAR10, 10, "labels", n=20)
    without_checksums(monkeypatch, datasets.CIFAR10)
    return ["--data-dir", str(tmp_path / "data"), "--no-download"]


@pytest.mark.parametrize(
    ("recipe", "algorithm"),
    [
        (digits, "random"),
        (digits, "bulk-and-cut"),
        pytest.param(cifar10, "bulk-and-cut", marks=pytest.mark.slow),
        pytest.param(cifar10, "random", marks=pytest.mark.slow),
    ],
)
def test_only_bulk_and_cut_may_leave_pooling_out(tmp_path, capsys, monkeypatch, recipe, algorithm):
    data = write_small_cifar10(tmp_path, monkeypatch) if recipe is cifar10 else []
    one = ["--epochs", "1", "1", "--full-trainings", "1", "--quiet", "--algorithm", algorithm]
    recipe.main(["--directory", str(tmp_path / "run"), *data, *one])
    table = check(tmp_path / "run", capsys.readouterr().out, {"val_error", "parameters"})
    assert ("pool_1" in table) == (algorithm == "bulk-and-cut")


@pytest.mark.slow
def test_bulk_and_cut_adds_convolutions_to_digits(tmp_path, capsys):
    budget = ["--epochs", "1", "3", "--full-trainings", "14", "--quiet"]
    digits.main(["--directory", str(tmp_path), "--algorithm", "bulk-and-cut", *budget])
    table = check(tmp_path, capsys.readouterr().out, {"val_error", "parameters"})
    deepened = table[table.operation == "deepen"]
    assert (deepened.n_conv > table.set_index("id").n_conv[deepened.parent].to_numpy()).any()


@pytest.mark.parametrize("name", flowers.PRIORS)
def test_the_priors_of_the_flowers_recipe_fit_its_space(name):
    for objective, prior in flowers.PRIORS[name].items():
        prior.check(conv_net_space(), objective)


@pytest.mark.slow
def test_on_device_leaves_the_front_as_files(tmp_path, capsys):
    on_device.main(["--directory", str(tmp_path), *SMALL])
    check_device(tmp_path, capsys.readouterr().out)


def check_device(directory: Path, output: str) -> None:
    table = pd.read_csv(directory / on_device.TABLE)
    assert len(table) >= 1
    assert (table["latency ms"] > 0).all()
    assert table["file's error"].between(0, 1).all()
    for file in table["file"]:
        assert (directory / file).stat().st_size > 1000
    assert "on the device" in output
