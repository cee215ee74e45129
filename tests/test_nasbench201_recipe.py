"""NAS-Bench-201's table as a problem, searches on it, and the recipe, mostly on a table that is made up."""

from __future__ import annotations

import os
import pickle
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torchvision import datasets

from lightning_primo import MOASHA, RandomSearch
from lightning_primo.algorithms import Algorithm, rung_epochs
from lightning_primo.errors import InvalidArgumentError, UnknownNameError
from lightning_primo.objective import Kind
from lightning_primo.problem import Problem
from lightning_primo.testing.problems import drive
from lightning_primo.trial import Evaluation, Proposal
from models.nas_bench_201 import EDGE_NAMES, OPERATIONS
from recipes import nasbench201
from recipes.table_search import Found, Task, carry_out, carry_out_all, target_summary
from recipes.tables import NASBench201Table, TableProblem
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


def task(path: Path, *, algorithm: Any = RandomSearch, **options: Any) -> Task:
    defaults: dict[str, Any] = {"objectives": ("val_error", "flops"), "name": "it", "seed": 0, "full_trainings": 5}
    return Task(table=path, algorithm=algorithm, **(defaults | {"quiet": True} | options))


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
        algorithm = nasbench201.make_algorithm(name, {}, 3)
        algorithm.start(problem.problem, seed=1)
        events = drive(algorithm, problem.evaluate, epochs=3 * 200)
        assert {event.epoch for event in events if isinstance(event, Evaluation)} == {12, 200}

    def test_stages_on_the_table_double_once(self, table: NASBench201Table) -> None:
        problem = TableProblem(table)
        algorithm = nasbench201.make_algorithm("sh-emoa", {}, 6)
        algorithm.start(problem.problem, seed=1)
        events = drive(algorithm, problem.evaluate, epochs=6 * 200)
        assert {event.epoch for event in events if isinstance(event, Evaluation)} == {100, 200}

    @pytest.mark.skipif(TABLE is None, reason="NASBENCH201_TABLE does not name the table's .npz file")
    @pytest.mark.parametrize(("objective", "n_cells"), [("flops", 13), ("latency_raspi4", 57)])
    def test_the_real_fronts(self, objective: str, n_cells: int) -> None:
        problem = TableProblem(NASBench201Table.load(str(TABLE)), ("val_error", objective))
        assert len(problem.front) == n_cells


class TestSearches:
    def test_what_is_found_is_counted_within_the_budget(self, path: Path, table: NASBench201Table) -> None:
        problem = TableProblem(table)
        found = carry_out(task(path, algorithm=partial(MOASHA, eta=17), full_trainings=6.5))
        assert len(found.losses) == len(found.costs) == len(found.shares) > 0
        assert np.all(np.diff(found.costs) > 0)
        assert found.costs[-1] <= 6.5
        assert np.all(np.diff(found.shares) >= 0)
        assert found.share == pytest.approx(problem.hypervolume_of(found.losses) / problem.hypervolume)
        assert all((table.error_200 == error).any() for error, _ in found.losses)
        again = carry_out(task(path, algorithm=partial(MOASHA, eta=17), full_trainings=6.5))
        assert np.array_equal(again.losses, found.losses)
        other = carry_out(task(path, algorithm=partial(MOASHA, eta=17), full_trainings=6.5, seed=1))
        assert not np.array_equal(other.losses, found.losses)

    def test_a_search_stops_at_its_target(self, path: Path) -> None:
        whole = carry_out(task(path, full_trainings=20))
        target = float(whole.shares[7])
        stopped = carry_out(task(path, full_trainings=20, target=target))
        first = np.flatnonzero(whole.shares >= target)[0]
        assert len(stopped.losses) == first + 1
        assert stopped.full_trainings_to(target) == whole.full_trainings_to(target) == whole.costs[first]
        assert whole.full_trainings_to(1.5) == np.inf

    def test_cells_of_the_true_front_are_recognised(self, path: Path, table: NASBench201Table) -> None:
        problem = TableProblem(table)
        found = carry_out(task(path, algorithm=partial(Given, problem), full_trainings=len(problem.front) + 1))
        assert found.n_true == len(problem.front)
        assert found.share == pytest.approx(1)
        assert np.allclose(np.sort(found.front, axis=0), np.sort(problem.losses[problem.front], axis=0))

    def test_a_budget_too_small_for_a_full_training_finds_nothing(self, path: Path) -> None:
        found = carry_out(task(path, full_trainings=0.5))
        assert (found.losses.shape, found.share, found.n_true, len(found.front)) == ((0, 2), 0.0, 0, 0)

    def test_tasks_pass_to_other_processes(self, path: Path) -> None:
        algorithm = partial(nasbench201.make_algorithm, "moasha", nasbench201.priors_for("sensible", ["flops"]), 3.0)
        copied = pickle.loads(pickle.dumps(task(path, algorithm=algorithm)))
        assert np.array_equal(carry_out(copied).losses, carry_out(task(path, algorithm=algorithm)).losses)

    @pytest.mark.slow
    def test_workers_find_the_same_in_the_same_order(self, path: Path) -> None:
        tasks = [task(path, seed=seed) for seed in range(3)]
        alone, together = (list(carry_out_all(tasks, workers=workers)) for workers in (1, 2))
        for one, other in zip(alone, together, strict=True):
            assert one.seed == other.seed
            assert np.array_equal(one.losses, other.losses)

    @pytest.mark.parametrize(
        ("needed", "expected"),
        [
            ([10.0, 30.0, 20.0], "20.0 full trainings (10.0 .. 30.0), 3 of 3 seeds"),
            ([10.0, 20.0], "15.0 full trainings (10.0 .. 20.0), 2 of 2 seeds"),
            ([10.0, 20.0, np.inf], "20.0 full trainings (10.0 .. 20.0), 2 of 3 seeds"),
            ([10.0, np.inf], "not reached (10.0 .. 10.0), 1 of 2 seeds"),
            ([np.inf], "not reached, 0 of 1 seeds"),
        ],
    )
    def test_the_median_counts_searches_that_did_not_reach_the_target(self, needed: list[float], expected: str) -> None:
        found = [
            Found(
                name="it",
                seed=seed,
                losses=np.zeros((1, 2)),
                costs=np.array([min(cost, 99.0)]),
                shares=np.array([0.98 if np.isfinite(cost) else 0.9]),
                n_true=0,
                seconds=1.0,
            )
            for seed, cost in enumerate(needed)
        ]
        assert expected in target_summary(found, 0.98)


class Given(Algorithm):
    """Proposes the cells of the true front and one more."""

    def __init__(self, problem: TableProblem) -> None:
        self.rows = [*problem.front.tolist(), 0]
        self.source = problem

    def _propose(self, rng: np.random.Generator) -> Proposal | None:
        left = self.rows[len(self.trials) :]
        return self.new_trial(self.source.table.config(left[0]), 200) if left else None


class Refusing(RandomSearch):
    def start(self, problem: Problem, *, seed: int = 0) -> None:
        raise InvalidArgumentError("'space' has no widths")


def recipe(*arguments: object) -> None:
    nasbench201.main([str(argument) for argument in arguments])


class TestRecipe:
    def test_one_algorithm_on_the_table(self, path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        recipe("--table", path, "--algorithm", "moasha", "--seeds", 2, "--full-trainings", 3, "--directory", tmp_path)
        out = capsys.readouterr().out
        assert "val_error, flops of 15,625 cells; true front: " in out
        assert "moasha                 hypervolume" in out
        assert "% of the true front's (" in out
        assert (tmp_path / "front_moasha.png").stat().st_size > 5_000

    def test_several_up_to_a_target(
        self, path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        algorithms = {"random": lambda *_: RandomSearch(), "refusing": lambda *_: Refusing()}
        monkeypatch.setattr(nasbench201, "ALGORITHMS", algorithms)
        goal = ["--compare", "--target", "0.5", "--seeds", "2", "--full-trainings", "5"]
        recipe("--table", path, *goal, "--objectives", "val_error", "latency_fpga", "flops", "--directory", tmp_path)
        captured = capsys.readouterr()
        assert "refusing is left out: 'space' has no widths" in captured.err
        assert "random                 " in captured.out
        assert "of 2 seeds" in captured.out
        assert (tmp_path / "front_random.png").stat().st_size > 5_000
        assert not (tmp_path / "front_refusing.png").exists()

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["--epochs", "1", "200"], "'--epochs' must be 12 200 with --table, which holds no others, got 1 200"),
            (["--objectives", "val_error"], "'--objectives' must name at least two, got val_error"),
            (["--objectives", "val_error", "size"], "unknown objective of the table: 'size'; valid choices: 'val_err"),
            (["--seeds", "0"], "'--seeds' must be at least 1, got 0"),
            (["--target", "98"], "'--target' must be a share in (0, 1], got 98"),
        ],
    )
    def test_what_the_table_cannot_do_is_refused(
        self, path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
    ) -> None:
        with pytest.raises(SystemExit):
            recipe("--table", path, *arguments)
        assert message in capsys.readouterr().err

    def test_a_wrong_file_and_an_algorithm_that_refuses_are_told_in_a_line(
        self, path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with pytest.raises(SystemExit):
            recipe("--table", tmp_path / "nothing.npz")
        assert "nothing.npz', cannot be read" in capsys.readouterr().err
        monkeypatch.setattr(nasbench201, "ON_TABLE", {"primo": lambda *_: Refusing()})
        with pytest.raises(SystemExit):
            recipe("--table", path)
        assert "error: 'space' has no widths" in capsys.readouterr().err

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
