"""Our algorithms and other optimisers on the same problems: what is run, what is kept, and what is told of it."""

from __future__ import annotations

import itertools
import json
import math
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from benchmarks import peers
from benchmarks.comparison.fronts import KnownFront, known_front, sampled_front, search_front
from benchmarks.comparison.optimisers import OPTIMISERS, make_algorithm, reason_to_leave_out
from benchmarks.comparison.peer import PeerSearch, is_active
from benchmarks.comparison.problems import CONDITIONS, PROBLEMS, problem_named
from benchmarks.comparison.report import Cell, missing_after, table
from benchmarks.comparison.runs import Job, Run, RunsFile
from benchmarks.lcbench_surrogate import HELD_OUT, NEVER_LOOKED_AT, TASKS, funnel_parameters
from lightning_primo.pareto import hypervolume
from lightning_primo.problem import Problem
from lightning_primo.problem.objective import Objective
from lightning_primo.problem.trial import Config
from lightning_primo.space import Encoding, Prior
from lightning_primo.testing.problems import conditional_space, drive, evaluator, toy_problem, trade_off_problem

JOB = Job("toy:2", "none", "random", 0)
NO_DATA = Path("nowhere")


def call(output: Path, *more: str) -> None:
    arguments = ["--problems", "toy:2", "--optimisers", "random", "moasha", "--priors", "none", "--seeds", "1"]
    peers.main([*arguments, "--full-trainings", "3", "--workers", "1", "--output", str(output), *more])


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A comparison of two algorithms on a toy problem, with a front that takes no time to find."""
    folder = tmp_path_factory.mktemp("peers")
    searched = problem_named("toy:2", Path("data"))
    (folder / "fronts").mkdir()
    np.save(folder / "fronts" / "toy-2.npy", search_front(searched, n_random=500, n_children=200))
    call(folder)
    return folder


class TestCommand:
    def test_leaves_a_table_a_picture_and_a_line_per_run(self, output: Path) -> None:
        rows = pd.read_csv(output / "table.csv")
        assert rows.optimiser.tolist() == ["random", "moasha"]
        assert ((rows.after_3 > 0) & (rows.after_3 < 1)).all()
        assert (rows.runs == 1).all()
        assert "| toy | none | moasha | 1 |" in (output / "table.md").read_text()
        assert (output / "missing.png").stat().st_size > 10_000
        assert len((output / "runs.jsonl").read_text().splitlines()) == 2

    def test_measures_by_the_front_of_random_configurations(self, output: Path) -> None:
        known = pd.read_csv(output / "table.csv")
        call(output, "--random-front", "30")
        by_random = pd.read_csv(output / "table.csv")
        assert len(np.load(output / "fronts" / "toy-2-random-30.npy")) <= 30
        assert (by_random.after_3 < known.after_3).all()
        call(output)

    def test_runs_nothing_again(self, output: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        before, told = (output / "runs.jsonl").read_text(), (output / "table.csv").read_text()
        ran: list[Job] = []
        monkeypatch.setattr(peers, "search", lambda job, data_dir, full_trainings: ran.append(job))
        call(output)
        assert not ran
        assert (output / "runs.jsonl").read_text() == before
        assert (output / "table.csv").read_text() == told

    def test_runs_only_what_is_missing(self, output: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        ran = []

        def search(job: Job, data_dir: Path, full_trainings: int) -> Run:
            ran.append(job)
            return Run(job, full_trainings, 0.0, (1.0,), ((0.5, 3.0),))

        monkeypatch.setattr(peers, "search", search)
        before = (output / "runs.jsonl").read_text()
        call(output, "--seeds", "2")
        (output / "runs.jsonl").write_text(before)
        assert ran == [Job("toy:2", "none", name, 1) for name in ("random", "moasha")]

    def test_a_search_that_fails_is_a_line(
        self, output: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        def search(job: Job, data_dir: Path, full_trainings: int) -> Run:
            raise RuntimeError("the matrix is singular\nmore")

        monkeypatch.setattr(peers, "search", search)
        call(output, "--seeds", "2")
        told = capsys.readouterr().out
        line = "moasha on toy:2, priors none, seed 1, is left out: RuntimeError: the matrix is singular\n"
        assert line in told
        assert "toy, priors none" in told

    def test_missing_data_are_a_line(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        with pytest.raises(SystemExit, match="there is nothing to search"):
            call(tmp_path, "--problems", "lcbench:3945", "nasbench201", "--data-dir", str(tmp_path))
        told = capsys.readouterr().out
        assert f"lcbench:3945 is left out: there is no {tmp_path / 'lcbench' / 'model.onnx'}" in told
        assert "nasbench201 is left out: there is no" in told


class TestMissingShare:
    """A front of two points, (0, 2) and (1, 0), with the reference point (4, 4): 4 x 2 + 3 x 2 = 14."""

    problem = Problem(
        space=conditional_space(),
        objectives=(Objective(name="a", reference=4.0), Objective(name="b", reference=4.0)),
        max_epochs=1,
    )
    front = KnownFront(problem, np.array([[0.0, 2.0], [1.0, 0.0]]))

    def test_closed_form(self) -> None:
        assert self.front.hypervolume == 14
        assert self.front.missing([[2.0, 2.0], [5.0, 0.0], [0.0, 2.0], [1.0, 0.0]]) == pytest.approx(
            [1 - 4 / 14, 1 - 4 / 14, 1 - 8 / 14, 0.0]
        )
        assert self.front.missing([]).shape == (0,)

    def test_what_ends_later_does_not_count(self) -> None:
        run = Run(JOB, 4, 0.0, (1.0, 2.5, 3.0), ((2.0, 2.0), (0.0, 2.0), (1.0, 0.0)))
        assert missing_after(run, self.front, [0, 1, 2, 3, 4]) == pytest.approx([1, 1 - 4 / 14, 1 - 4 / 14, 1e-4, 1e-4])
        assert run.within(2).losses == ((2.0, 2.0),)

    def test_the_table_has_medians_of_seeds_and_geometric_means_of_problems(self) -> None:
        other = replace(JOB, problem="toy:3")
        slow = Run(JOB, 8, 1.0, (2.0,), ((2.0, 2.0),))
        fast = Run(JOB, 8, 3.0, (1.0, 5.0), ((0.0, 2.0), (1.0, 0.0)))
        slow_there, fast_there = (replace(run, job=other) for run in (slow, fast))
        fronts = {"toy:2": self.front, "toy:3": self.front}
        cell = Cell("toy", "none", "random", [slow, slow, fast, fast_there, slow_there, fast_there], fronts)
        (row,) = table([cell], 8).to_dict("records")
        assert row["after_8"] == pytest.approx((10 / 14 * 1e-4) ** (1 / 2))
        assert (row["to_98"], row["reached_98"], row["seconds_per_ask"]) == (math.inf, 3, pytest.approx(2.0))
        cell = Cell("toy", "none", "random", [slow, fast, fast], fronts)
        assert table([cell], 8).to_98[0] == 5.0


class TestFront:
    def test_search_comes_close_to_the_sphere(self) -> None:
        problem = trade_off_problem(3)
        losses = search_front(problem_named("trade-off:3", NO_DATA), n_random=2000, n_children=1000)
        radius = 1 + 0.5 / 28  # of the two trained objectives; the ball's octant is all that no trial can dominate
        found, true = hypervolume(losses, [1.5] * 3), 1.5**3 - math.pi / 6 * radius**2
        assert 0.95 * true < found < true
        assert np.isfinite(KnownFront(problem, losses).reference).all()

    def test_of_random_configurations_is_what_they_do_not_dominate(self) -> None:
        searched = problem_named("toy:2", NO_DATA)
        encoding = Encoding(searched.problem.space)
        drawn = encoding.configs(encoding.sample(50, np.random.default_rng(3)))
        losses = searched.problem.scaled(searched.trained(drawn))
        kept = [row for row in losses if not ((losses <= row).all(axis=1) & (losses < row).any(axis=1)).any()]
        np.testing.assert_array_equal(sampled_front(searched, 50, seed=3), kept)

    def test_a_file_is_found_once(self, tmp_path: Path) -> None:
        searched, path = problem_named("toy:2", NO_DATA), tmp_path / "fronts" / "toy.npy"
        first = known_front(searched, path, partial(sampled_front, n_random=20))
        again = known_front(searched, path)
        np.testing.assert_array_equal(first.losses, again.losses)

    def test_same_seed_same_front(self) -> None:
        searched = problem_named("toy:2", NO_DATA)
        first, second = (search_front(searched, n_random=50, n_children=20) for _ in range(2))
        np.testing.assert_array_equal(first, second)


class TestLCBench:
    def test_parameters_are_those_of_a_network_that_gets_narrower_evenly(self) -> None:
        widths = [100, 64, 43, 23, 2]  # 64, 64 - 62 / 3, 64 - 2 * 62 / 3
        layers = [torch.nn.Linear(into, out) for into, out in itertools.pairwise(widths)]
        count = sum(parameter.numel() for layer in layers for parameter in layer.parameters())
        assert funnel_parameters({"num_layers": 3, "max_units": 64}) == count

    def test_other_tasks_are_held_out(self) -> None:
        tasks = (*TASKS, *HELD_OUT, *NEVER_LOOKED_AT)
        assert len(set(tasks)) == len(tasks) == 20
        assert all(f"lcbench:{task}" in PROBLEMS for task in tasks)


class TestRunsFile:
    def test_a_line_that_was_cut_off_is_written_over(self, tmp_path: Path) -> None:
        path = tmp_path / "runs.jsonl"
        run = Run(JOB, 3, 0.1, (1.0,), ((0.5, 3.0),))
        RunsFile(path).add(run)
        with path.open("a") as file:
            file.write('{"job": {"prob')
        file_again = RunsFile(path)
        assert file_again.runs == {JOB: run}
        other = Run(Job("toy:2", "good", "random", 1), 3, 0.1, (), ())
        file_again.add(other)
        assert RunsFile(path).runs == {JOB: run, other.job: other}
        assert all(json.loads(line) for line in path.read_text().splitlines())

    def test_a_larger_budget_answers_a_smaller_one(self, tmp_path: Path) -> None:
        runs = RunsFile(tmp_path / "runs.jsonl")
        runs.add(Run(JOB, 8, 0.1, (), ()))
        assert runs.missing([JOB], 3) == []
        assert runs.missing([JOB], 12) == [JOB]


class Fixed:
    """A peer that proposes what it is given and remembers what it is told."""

    def __init__(self, configs: list[Config]) -> None:
        self.configs = iter(configs)
        self.heard: list[list[float]] = []

    def propose(self) -> Config:
        return next(self.configs)

    def told(self, losses: list[float]) -> None:
        self.heard.append(losses)


def test_a_peer_is_told_scaled_losses_of_full_trainings() -> None:
    problem = toy_problem(2)
    encoding = Encoding(problem.space)
    peer = Fixed(encoding.configs(encoding.sample(3, np.random.default_rng(0))))
    algorithm = PeerSearch(make=lambda problem, centers, seed: peer)
    algorithm.start(problem)
    events = drive(algorithm, evaluator(problem), epochs=2 * problem.max_epochs)
    assert len(events) == 4
    size = problem.known(algorithm.trials[1].config)[1]
    assert [len(losses) for losses in peer.heard] == [2, 2]
    assert peer.heard[1][1] == pytest.approx(math.log10(size))


def test_activity_is_the_encodings() -> None:
    space = conditional_space()
    encoding = Encoding(space)
    for config in encoding.configs(encoding.sample(50, np.random.default_rng(0))):
        assert [name for name in space if is_active(space, name, config)] == list(config)


def test_every_optimiser_has_a_constructor_or_a_reason() -> None:
    priors = problem_named("toy:2", NO_DATA).good
    for name, condition in itertools.product(OPTIMISERS, CONDITIONS):
        if reason_to_leave_out(name, condition) is None:
            make_algorithm(name, {} if condition == "none" else priors, 3)
    assert reason_to_leave_out("mo-bohb", "good") == "it takes no priors"
    assert reason_to_leave_out("primo", "good") is None


def test_optunas_trials_are_configurations_of_the_space() -> None:
    optuna = pytest.importorskip("optuna")
    from benchmarks.comparison.optuna_peer import OptunaPeer, suggest

    space = conditional_space()
    names = {"n_layers": 2, "width_1": 8, "width_2": 16, "width_3": 32, "lr": 1e-3, "dropout": 0.5}
    fixed = optuna.trial.FixedTrial({**names, "activation": "relu", "norm": True})
    config = suggest(fixed, space)
    assert "width_3" not in config
    assert config["width_2"] == 16
    assert {name: distribution.log for name, distribution in fixed.distributions.items() if name in names} == {
        "n_layers": False,
        "width_1": True,
        "width_2": True,
        "lr": True,
        "dropout": False,
    }
    center = dict(config) | {"n_layers": 1}
    del center["width_2"]
    peer = OptunaPeer(toy_problem(2), [center], optuna.samplers.RandomSampler(seed=0))
    proposed = []
    for _ in range(20):
        proposed.append(peer.propose())
        peer.told([0.5, 3.0])
    assert proposed[0] == center
    Encoding(space).vectors(proposed)  # refuses what is missing, inactive or illegal
    assert len({tuple(config) for config in proposed}) == 3


def test_ax_proposes_configurations_of_the_space() -> None:
    pytest.importorskip("ax", exc_type=ImportError)
    problem = toy_problem(2)
    center = Encoding(problem.space).config(Encoding(problem.space).sample(1, np.random.default_rng(0))[0])
    algorithm = make_algorithm("ax", {"error": Prior(center)}, 3)
    algorithm.start(problem)
    events = drive(algorithm, evaluator(problem), epochs=4 * problem.max_epochs)
    assert [event.epoch for event in events] == [problem.max_epochs] * 8
    assert algorithm.trials[0].config == center
    Encoding(problem.space).vectors([trial.config for trial in algorithm.trials])
