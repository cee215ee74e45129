"""NAS-Bench-201's table as a problem, searches on it, and the recipe, mostly on a table that is made up."""

from __future__ import annotations

import os
import re
from argparse import Namespace
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import cloudpickle
import numpy as np
import pandas as pd
import pytest
from torchvision import datasets

from benchmarks.nasbench201_table import NASBench201Table, TableProblem, look_up, table_problem
from lightning_primo import MOASHA, RandomSearch, Result
from lightning_primo.algorithms import Algorithm, rung_epochs
from lightning_primo.errors import InvalidArgumentError, StoreError, UnknownNameError
from lightning_primo.problem import Problem
from lightning_primo.problem.objective import Kind
from lightning_primo.problem.trial import Evaluation, Proposal
from lightning_primo.results import Comparison
from lightning_primo.testing.problems import drive
from lightning_primo.workers import InProcess
from models.nas_bench_201 import EDGE_NAMES, OPERATIONS
from recipes import compare, nasbench201
from tests.datamodules.test_datamodules import without_checksums, write_cifar

TABLE = os.environ.get("NASBENCH201_TABLE")


def write_table(path: Path, *, drop: str = "", **replace: Any) -> Path:
    """All cells in a random order: convolutions help and cost, everything else is noise."""
    rng = np.random.default_rng(0)
    cells = rng.permutation(np.array(list(product(range(5), repeat=6)), dtype=np.uint8))
    n_1x1, n_3x3 = (cells == 2).sum(1), (cells == 3).sum(1)
    quality = 40 + 6 * n_1x1 + 7 * n_3x3 + rng.normal(0, 4, len(cells))
    accuracies = np.full((len(cells), 2, 3), 50.0)
    accuracies[:, 1] = quality[:, None] + rng.normal(0, 1, (len(cells), 3))
    accuracies[::2, :, 2] = np.nan
    arrays: dict[str, Any] = {
        "op_names": np.array(OPERATIONS),
        "ops": cells,
        "datasets": np.array(["cifar100", "cifar10"]),
        "val_acc_12": np.stack([np.zeros(len(cells)), quality - 15], axis=1).astype(np.float32),
        "val_acc_200": accuracies.astype(np.float32),
        "flops_M": (7.78305 + 3.93216 * n_1x1 + 35.38944 * n_3x3).astype(np.float32),
        "params_formula_M": (0.073306 + 0.028 * n_1x1 + 0.24304 * n_3x3).astype(np.float32),
        "help_devices": np.array(["raspi4", "fpga"]),
        "help_latency_ms": np.abs(rng.normal(5, 1, (len(cells), 2))).astype(np.float32) + 0.1,
    }
    arrays.update(replace)
    arrays.pop(drop, None)
    np.savez(path, **arrays)
    return path


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_table(tmp_path_factory.mktemp("table") / "table.npz")


@pytest.fixture(scope="module")
def table(path: Path) -> NASBench201Table:
    return NASBench201Table.load(path)


class TestTable:
    def test_columns_are_cifar10s_in_units_of_the_package(self, path: Path, table: NASBench201Table) -> None:
        with np.load(path) as file:
            ops, accuracy, short = file["ops"], file["val_acc_200"], file["val_acc_12"]
        for row in (0, 1, 15_624):
            seeds = accuracy[row, 1, : 3 if row % 2 else 2].astype(np.float64)
            assert table.error_200[row] == pytest.approx(1 - seeds.mean() / 100)
            assert table.error_12[row] == pytest.approx(1 - short[row, 1] / 100)
            expected = 7_783_050 + 3_932_160 * (ops[row] == 2).sum() + 35_389_440 * (ops[row] == 3).sum()
            assert table.flops[row] == pytest.approx(expected, abs=8)
        assert set(table.parameters) <= {73_306 + 28_000 * i + 243_040 * j for i in range(7) for j in range(7)}

    def test_rows_and_configurations_are_inverse(self, path: Path, table: NASBench201Table) -> None:
        with np.load(path) as file:
            ops = file["ops"]
        for row in (0, 77, 15_624):
            config = table.config(row)
            assert config == {name: OPERATIONS[i] for name, i in zip(EDGE_NAMES, ops[row], strict=True)}
            assert table.row(config) == row

    def test_what_is_no_table_is_refused(self, tmp_path: Path) -> None:
        text = tmp_path / "text.npz"
        text.write_text("cell,error")
        empty = tmp_path / "empty.npz"
        empty.touch()
        array = tmp_path / "array.npy"
        np.save(array, np.zeros(3))
        for wrong in (text, empty, array, tmp_path / "missing.npz", tmp_path):
            with pytest.raises(InvalidArgumentError, match=r"'table', .* cannot be read .*give an .npz file with"):
                NASBench201Table.load(wrong)

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"drop": "flops_M"}, "lacks the arrays flops_M; give an .npz file with the arrays op_names"),
            ({"flops_M": np.zeros(3)}, r"'flops_M' of shape \(3,\), expected \(15625,\)"),
            ({"ops": np.zeros((15_625, 6), dtype=np.uint8)}, "got 15625 rows, 1 different cells"),
            ({"datasets": np.array(["a", "b"])}, "with the data set 'cifar10'"),
            ({"op_names": np.array(["a", "b", "c", "d", "e"])}, r"operations \('a', 'b'"),
        ],
    )
    def test_a_table_of_something_else_is_refused(self, tmp_path: Path, change: dict[str, Any], message: str) -> None:
        with pytest.raises(InvalidArgumentError, match=message):
            NASBench201Table.load(write_table(tmp_path / "table.npz", **change))


class TestProblem:
    def test_only_200_epochs_differ_from_12(self, table: NASBench201Table) -> None:
        problem = TableProblem(table, ("val_error", "flops", "parameters", "latency_fpga"))
        config = table.config(5)
        for epoch, error in ((12, table.error_12), (13, table.error_12), (199, table.error_12), (200, table.error_200)):
            assert problem.values(config, epoch) == {
                "val_error": error[5],
                "flops": table.flops[5],
                "parameters": table.parameters[5],
                "latency_fpga": table.latencies["fpga"][5],
            }

    def test_exact_costs_are_known_beforehand_and_latencies_are_measured(self, table: NASBench201Table) -> None:
        problem = TableProblem(table, ("val_error", "latency_raspi4", "flops", "parameters")).problem
        kinds = [objective.kind for objective in problem.objectives]
        assert kinds == [Kind.TRAINED, Kind.MEASURED, Kind.EXACT, Kind.EXACT]
        assert [objective.log for objective in problem.objectives] == [False, True, True, True]
        known = problem.known(table.config(9))
        assert np.isnan(known[:2]).all()
        assert known[2:] == (table.flops[9], table.parameters[9])
        assert (problem.min_epochs, problem.max_epochs) == (12, 200)

    def test_a_proposal_is_looked_up(self, table: NASBench201Table) -> None:
        problem = TableProblem(table)
        config = table.config(3)
        short = problem.evaluate(Proposal(trial_id=0, config=config, epoch=12))
        assert (short.losses, short.cost) == ((table.error_12[3], table.flops[3]), 12)
        full = problem.evaluate(Proposal(trial_id=0, config=config, epoch=200, start_epoch=12))
        assert (full.losses, full.cost) == ((table.error_200[3], table.flops[3]), 188)

    def test_the_true_front_is_that_of_all_cells(self, table: NASBench201Table) -> None:
        problem = TableProblem(table, ("val_error", "parameters"))
        errors, sizes = table.error_200, table.parameters
        some = range(0, 15_625, 25)
        best = set()
        for row in some:
            no_worse = (errors <= errors[row]) & (sizes <= sizes[row])
            if not (no_worse & ((errors < errors[row]) | (sizes < sizes[row]))).any():
                best.add(row)
        assert best == set(problem.front) & set(some)
        assert np.all(np.diff(problem.losses[problem.front, 0]) >= 0)
        # The areas of the steps up to an error of 0.9 and the largest network, sizes in powers of ten.
        area, worst_error = 0.0, 0.9
        for error, size in problem.losses[problem.front[::-1]]:
            area += (worst_error - error) * max(0.0, np.log10(sizes.max() / size))
            worst_error = error
        assert problem.hypervolume == pytest.approx(area)
        assert problem.hypervolume_of(problem.losses) == pytest.approx(problem.hypervolume)

    def test_unknown_objectives_are_refused_with_the_valid_ones(self, table: NASBench201Table) -> None:
        with pytest.raises(UnknownNameError, match=r"'latency_gpu'.*'val_error', 'flops', .*'latency_raspi4'"):
            TableProblem(table, ("val_error", "latency_gpu"))

    @pytest.mark.parametrize("name", sorted(set(nasbench201.ON_TABLE) - {"sh-emoa"}))
    def test_rungs_on_the_table_are_its_two_epochs(self, table: NASBench201Table, name: str) -> None:
        assert rung_epochs(12, 200, 17) == (12, 200)
        problem = TableProblem(table)
        algorithm = nasbench201.make_algorithm(name, {}, 4)
        algorithm.start(problem.problem, seed=1)
        events = drive(algorithm, problem.evaluate, epochs=4 * 200)
        assert {event.epoch for event in events if isinstance(event, Evaluation)} == {12, 200}

    def test_stages_on_the_table_begin_at_its_short_trainings(self, table: NASBench201Table) -> None:
        problem = TableProblem(table)
        algorithm = nasbench201.make_algorithm("sh-emoa", {}, 20)
        algorithm.start(problem.problem, seed=1)
        events = drive(algorithm, problem.evaluate, epochs=20 * 200)
        assert {event.epoch for event in events if isinstance(event, Evaluation)} == {13, 25, 50, 100, 200}

    @pytest.mark.skipif(TABLE is None, reason="NASBENCH201_TABLE does not name the table's .npz file")
    @pytest.mark.parametrize(("objective", "n_cells"), [("flops", 13), ("latency_raspi4", 57)])
    def test_the_real_fronts(self, objective: str, n_cells: int) -> None:
        problem = TableProblem(NASBench201Table.load(str(TABLE)), ("val_error", objective))
        assert len(problem.front) == n_cells


class Given(Algorithm):
    """Proposes the cells of the true front and one more."""

    def __init__(self, problem: TableProblem) -> None:
        self.rows = [*problem.front.tolist(), 0]
        self.source = problem

    def propose(self, rng: np.random.Generator) -> Proposal | None:
        left = self.rows[len(self.trials) :]
        return self.new_trial(self.source.table.config(left[0]), 200) if left else None


class Refusing(RandomSearch):
    def start(self, problem: Problem, *, seed: int = 0) -> None:
        raise InvalidArgumentError("'space' has no widths\nat all")


class TestSearches:
    def test_the_budget_is_spent_and_the_seed_decides(self, table: NASBench201Table, tmp_path: Path) -> None:
        def errors(seed: int) -> list[float]:
            algorithm = MOASHA(eta=17)
            result = look_up(TableProblem(table), algorithm, seed=seed, full_trainings=6.5, directory=tmp_path)
            assert 6.5 <= result.full_trainings < 7.5
            return [trial.values["val_error"] for trial in result.trials if trial.trained_fully]

        first = errors(0)
        assert first
        assert set(first) <= set(table.error_200)
        assert errors(0) == first != errors(1)

    def test_the_true_front_has_its_hypervolume(self, table: NASBench201Table, tmp_path: Path) -> None:
        problem = TableProblem(table)
        budget = len(problem.front) + 1
        result = look_up(problem, Given(problem), seed=0, full_trainings=budget, directory=tmp_path)
        assert result.hypervolume() == pytest.approx(problem.hypervolume)
        assert [problem.table.row(trial.config) for trial in result.front] == problem.front.tolist()
        comparison = Comparison({"given": [result]})
        assert comparison.full_trainings_to(problem.hypervolume)["given"].tolist() == [len(problem.front)]

    def test_a_result_travels_without_the_table(self, table: NASBench201Table, tmp_path: Path) -> None:
        result = look_up(TableProblem(table), RandomSearch(), seed=0, full_trainings=1, directory=tmp_path)
        assert len(cloudpickle.dumps(result)) < 100_000


def recipe(*arguments: object) -> None:
    nasbench201.main([str(argument) for argument in arguments])


class TestRecipe:
    def test_one_search_on_the_table(self, path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        folder = tmp_path / "run"
        three = ["--objectives", "val_error", "latency_fpga", "flops"]
        recipe("--table", path, *three, "--algorithm", "moasha", "--full-trainings", 3, "--directory", folder)
        out = capsys.readouterr().out
        assert "front of" in out
        assert re.search(r"\d\d\.\d\d% of the true front's hypervolume, .*, and \d+ of its \d+ cells", out)
        assert (folder / "trials.csv").exists()
        for name in ("front", "hypervolume", "true_front_latency_fpga", "true_front_flops"):
            assert (folder / f"{name}.png").stat().st_size > 5_000

    def test_a_search_that_finds_the_true_front(
        self, path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        problem = table_problem(path, ("val_error", "flops"))
        monkeypatch.setattr(nasbench201, "ON_TABLE", {"random": lambda *_: Given(problem)})
        recipe("--table", path, "--algorithm", "random", "--directory", tmp_path)
        n = len(problem.front)
        assert re.search(
            rf"100\.00% of the true front's hypervolume, .*, and {n} of its {n} cells", capsys.readouterr().out
        )

    def test_a_search_that_finds_nothing(self, path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        recipe("--table", path, "--algorithm", "moasha", "--full-trainings", 0.1, "--directory", tmp_path)
        assert "0.00% of the true front's hypervolume" in capsys.readouterr().out

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["--epochs", "1", "200"], "'--epochs' must be 12 200 with --table, which holds no others, got 1 200"),
            (["--objectives", "val_error"], "'--objectives' must name at least two, got val_error"),
            (["--objectives", "val_error", "size"], "unknown objective of the table: 'size'; valid choices: 'val_err"),
            (["--workers", "2"], "'--workers' must be 1 with --table"),
            (["--algorithm", "bulk-and-cut"], "'problem' has no 'architecture'"),
            (["--algo", "random"], "unrecognized arguments: --algo random"),
        ],
    )
    def test_what_the_table_cannot_do_is_refused(
        self, path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
    ) -> None:
        with pytest.raises(SystemExit) as end:
            recipe("--table", path, *arguments)
        assert end.value.code == 2
        assert message in capsys.readouterr().err

    def test_a_wrong_file_is_told_in_a_line(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        with pytest.raises(SystemExit):
            recipe("--table", tmp_path / "nothing.npz")
        assert "nothing.npz', cannot be read" in capsys.readouterr().err

    def test_real_trainings(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        write_cifar(tmp_path / "data", datasets.CIFAR10, 10, "labels", n=20)
        without_checksums(monkeypatch, datasets.CIFAR10)
        small = ["--epochs", "1", "1", "--full-trainings", "1", "--algorithm", "random", "--quiet", "--no-download"]
        recipe("--directory", tmp_path / "run", "--data-dir", tmp_path / "data", "--joint", *small)
        out = capsys.readouterr().out
        assert "front of" in out
        header = (tmp_path / "run" / "trials.csv").read_text().splitlines()[0].split(",")
        assert {"val_error", "flops", "parameters", "edge_0_1", "lr", "batch_size"} <= set(header)


class TestCompare:
    @pytest.fixture(autouse=True)
    def _in_this_process(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(compare, "LocalProcesses", lambda workers: InProcess())

    def run(self, path: Path, directory: Path, *arguments: object) -> pd.DataFrame:
        fixed = ["nasbench201", "--table", path, "--directory", directory, "--full-trainings", 5]
        compare.main([str(argument) for argument in (*fixed, *arguments)])
        return pd.read_csv(directory / "comparison.csv").set_index("method")

    def test_a_method_that_refuses_is_left_out(
        self, path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(nasbench201, "ON_TABLE", nasbench201.ON_TABLE | {"hyperband": lambda *_: Refusing()})
        methods = ["hyperband", "random", "bulk-and-cut", "moasha", "random"]
        table = self.run(path, tmp_path, "--methods", *methods, "--seeds", 2)
        assert set(table.index) == {"random", "moasha"}
        assert table.searches.tolist() == [2, 2]
        assert "reached" not in table
        out = capsys.readouterr().out
        for seed in range(2):
            assert f"hyperband, seed {seed}, is left out: 'space' has no widths\n" in out
            assert f"bulk-and-cut, seed {seed}, is left out: 'problem' has no 'architecture'" in out
        assert "8 of 8" in out
        assert (tmp_path / "comparison.png").stat().st_size > 5_000

    def test_some_seeds_of_a_method_may_be_missing(
        self, path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        run = nasbench201.run

        def refuses_seed_1(options: Namespace) -> Result:
            if options.seed == 1:
                raise StoreError("the directory is full")
            return run(options)

        recipes = {"nasbench201": replace(compare.RECIPES["nasbench201"], run=refuses_seed_1)}
        monkeypatch.setattr(compare, "RECIPES", recipes)
        table = self.run(path, tmp_path, "--methods", "random", "--seeds", 3)
        assert table.searches.tolist() == [2]

    def test_nothing_left_is_an_error(self, path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        with pytest.raises(SystemExit, match="there is nothing to compare: every search was left out"):
            self.run(path, tmp_path / "none", "--methods", "bulk-and-cut", "--seeds", 1)
        assert "is left out: 'problem' has no 'architecture'" in capsys.readouterr().out
        assert not (tmp_path / "none").exists()

    def test_searches_that_reached_the_target_are_counted(
        self, path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        problem = table_problem(path, ("val_error", "flops"))
        given = {"bo": lambda *_: Given(problem), "sobol": lambda *_: Refusing()}
        monkeypatch.setattr(nasbench201, "ON_TABLE", nasbench201.ON_TABLE | given)
        fixed = ["--methods", "bo", "sobol", "random", "--seeds", 2, "--full-trainings", len(problem.front) + 1]
        table = self.run(path, tmp_path, *fixed, "--target", 1)
        assert table.loc["bo", ["reached", "full_trainings"]].tolist() == [2, len(problem.front)]
        assert table.loc["random", ["reached", "full_trainings"]].tolist() == [0, np.inf]
        out = capsys.readouterr().out
        assert f"the true front has {problem.hypervolume:.4g}" in out
        assert "reached: searches with 100.00% of the true front's" in out

    def test_without_a_true_front_the_best_search_is_the_measure(
        self, path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        recipes = {"nasbench201": replace(compare.RECIPES["nasbench201"], true_hypervolume=lambda options: None)}
        monkeypatch.setattr(compare, "RECIPES", recipes)
        table = self.run(path, tmp_path, "--methods", "random", "--seeds", 3, "--target", 1)
        assert table.loc["random", "reached"] == 1
        assert "reached: searches with 100.00% of the best search's" in capsys.readouterr().out

    def test_a_target_that_nobody_came_near(self, path: Path, tmp_path: Path) -> None:
        table = self.run(path, tmp_path, "--methods", "sobol", "--seeds", 2, "--target", 0.9999)
        assert table.loc["sobol", ["reached", "full_trainings"]].tolist() == [0, np.inf]

    def test_ctrl_c_is_told_in_a_line(
        self, path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def interrupted(options: Namespace) -> Result:
            raise KeyboardInterrupt

        recipes = {"nasbench201": replace(compare.RECIPES["nasbench201"], run=interrupted)}
        monkeypatch.setattr(compare, "RECIPES", recipes)
        with pytest.raises(SystemExit) as end:
            self.run(path, tmp_path)
        assert end.value.code == 130
        assert "stopped; the same call goes on from what is in" in capsys.readouterr().err
