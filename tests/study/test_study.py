from __future__ import annotations

import math
import os
import random
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from lightning_primo import MOASHA, NSGA2, PriMO, RandomSearch, read_result
from lightning_primo.algorithms import Algorithm
from lightning_primo.errors import (
    DirectoryInUseError,
    InvalidArgumentError,
    SearchMismatchError,
    TrialFailedError,
    UnknownNameError,
)
from lightning_primo.problem.objective import Kind, Objective
from lightning_primo.problem.trial import Evaluation, Status
from lightning_primo.store import read_events
from lightning_primo.study import Study
from tests.study.problems import curve, make_problem, values

PROBLEM = make_problem()


def drive(study: Study, full_trainings: float) -> None:
    while study.full_trainings < full_trainings and (proposal := study.ask()) is not None:
        study.tell(proposal.trial_id, values(proposal), curve=curve(proposal))


def history(directory: Path) -> list[str]:
    return [repr(replace(e, seconds=0.0) if isinstance(e, Evaluation) else e) for e, _ in read_events(directory)]


def test_what_is_told_is_what_is_found(tmp_path: Path) -> None:
    with Study(tmp_path / "s", PROBLEM, MOASHA(), seed=1) as study:
        drive(study, 5)
        result = study.result
        assert 5 <= study.full_trainings < 6
        assert result.full_trainings == study.full_trainings
    assert result.front
    for trial in result.trials:
        assert trial.values["size"] == trial.config["width"]  # by the oracle
        assert math.isclose(trial.values["error"], curve_value(trial.config, trial.epoch))
    table = result.to_pandas()
    assert sorted(table[table.on_front].id) == sorted(trial.id for trial in result.front)
    result.plot_front(tmp_path / "front.png")
    result.plot_hypervolume(tmp_path / "hypervolume.png")
    assert (tmp_path / "front.png").stat().st_size > 1000
    assert "front of" in repr(result)
    assert [t.values for t in read_result(tmp_path / "s").trials] == [t.values for t in result.trials]


def curve_value(config: object, epoch: int) -> float:
    from tests.study.problems import error

    return error(config, epoch)  # type: ignore[arg-type]


@pytest.mark.parametrize("algorithm", [MOASHA(), NSGA2(population_size=3)], ids=["MOASHA", "NSGA-II"])
def test_closed_and_opened_at_any_moment_it_is_the_same(tmp_path: Path, algorithm: Algorithm) -> None:
    with Study(tmp_path / "a", PROBLEM, algorithm, first=[{"lr": 0.5}], known=KNOWN) as study:
        drive(study, 5)
    expected = history(tmp_path / "a")
    moments = random.Random(0)
    while True:
        with Study(tmp_path / "b", PROBLEM, algorithm, first=[{"lr": 0.5}], known=KNOWN) as study:
            left = moments.randrange(1, 4)
            while left and study.full_trainings < 5 and (proposal := study.ask()) is not None:
                left -= 1
                if left:  # the last one is not told: it is given out again
                    study.tell(proposal.trial_id, values(proposal), curve=curve(proposal))
            if left and study.full_trainings >= 5:
                break
            pending = study.pending
        if pending:
            with Study(tmp_path / "b", PROBLEM, algorithm) as study:
                assert study.pending == pending
                again = study.ask()
                assert again == pending[0]
                study.tell(again.trial_id, values(again), curve=curve(again))
    assert history(tmp_path / "b") == expected


KNOWN = [({"lr": 0.1, "width": 4}, {"error": 1.5}), ({"lr": 1e-3}, {"error": 1.2}, 3)]

KILLED = """
import os, signal, sys
sys.path.insert(0, sys.argv[4])
from lightning_primo.algorithms import MOASHA
from lightning_primo.study import Study
from tests.study.problems import curve, make_problem, values
left = int(sys.argv[2])
from lightning_primo.store import Store
append = Store._append
def striking(self, *entries, elapsed):
    global left
    left -= 1
    if left == 0 and sys.argv[3] == "before":
        os.kill(os.getpid(), signal.SIGKILL)
    append(self, *entries, elapsed=elapsed)
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
Store._append = striking
known = [({"lr": 0.1, "width": 4}, {"error": 1.5}), ({"lr": 1e-3}, {"error": 1.2}, 3)]
study = Study(sys.argv[1], make_problem(), MOASHA(), first=[{"lr": 0.5}], known=known)
while study.full_trainings < 2 and (proposal := study.ask()) is not None:
    study.tell(proposal.trial_id, values(proposal), curve=curve(proposal))
assert not {"torch", "lightning", "pytorch_lightning"} & set(sys.modules), "not needed"
"""


def run_killed(directory: Path, after: int, when: str) -> int:
    command = [sys.executable, "-c", KILLED, str(directory), str(after), when, str(Path(__file__).parents[2])]
    return subprocess.run(command, check=False, env={**os.environ, "OMP_NUM_THREADS": "1"}).returncode


def test_a_study_needs_neither_torch_nor_lightning_and_survives_a_kill(tmp_path: Path) -> None:
    assert run_killed(tmp_path / "b", 2, "after") == -signal.SIGKILL  # between two known results
    assert run_killed(tmp_path / "b", 0, "after") == 0
    with Study(tmp_path / "a", PROBLEM, MOASHA(), first=[{"lr": 0.5}], known=KNOWN) as study:
        drive(study, 2)
    assert history(tmp_path / "b") == history(tmp_path / "a")


@pytest.mark.slow
def test_killed_at_random_moments_it_is_as_if_it_never_was(tmp_path: Path) -> None:
    with Study(tmp_path / "a", PROBLEM, MOASHA(), first=[{"lr": 0.5}], known=KNOWN) as study:
        drive(study, 2)
    moments = random.Random(1)
    codes = [
        run_killed(tmp_path / "b", moments.randrange(1, 9), moments.choice(["before", "after"])) for _ in range(12)
    ]
    assert -signal.SIGKILL in codes
    assert run_killed(tmp_path / "b", 0, "after") == 0
    assert history(tmp_path / "b") == history(tmp_path / "a")


def test_what_was_asked_for_last_and_not_told_is_still_to_be_spent(tmp_path: Path) -> None:
    with Study(tmp_path, PROBLEM, RandomSearch()) as study:
        study.ask()
        assert study.epochs == 9
    with Study(tmp_path, PROBLEM, RandomSearch()) as study:
        assert study.epochs == 0
        drive(study, 1)
        assert study.epochs == 9
        assert len(study.trials) == 1
        assert study.pending == ()


def test_failures_and_values_that_are_not_finite(tmp_path: Path) -> None:
    with Study(tmp_path, PROBLEM, RandomSearch()) as study:
        first, second, third = study.ask(), study.ask(), study.ask()
        assert first
        assert second
        assert third
        study.tell(first.trial_id, {"error": math.nan})
        study.fail(second.trial_id, "no licence", status=Status.CRASHED, epoch=4)
        study.tell(third.trial_id, {"error": 0.5}, epoch=5, finished=True, seconds=3.0, measurements={"memory": 7.0})
        trials = study.result.trials
        assert [trial.status for trial in trials] == [Status.DIVERGED, Status.CRASHED, Status.OK]
        assert "error is not finite" in trials[0].reason
        assert study.epochs == 9 + 4 + 5
        assert trials[2].trained_fully
        assert trials[2].measurements["memory"] == 7.0
        assert study.pending == ()


def test_what_breaks_an_exact_bound_is_not_given_out(tmp_path: Path) -> None:
    size = Objective(name="size", kind=Kind.EXACT, at_most=4.0)
    problem = make_problem(objectives=(Objective(name="error"), size))
    with Study(tmp_path, problem, RandomSearch(), first=[{"width": 60}, {"width": 2}]) as study:
        proposal = study.ask()
        assert proposal is not None
        assert (proposal.trial_id, proposal.config["width"]) == (1, 2)
        assert study.result.trials[0].status is Status.REJECTED
    impossible = replace(problem, exact=lambda config: {"size": 100.0})
    with (
        Study(tmp_path / "no", impossible, RandomSearch()) as study,
        pytest.raises(TrialFailedError, match="size = 100 exceeds at_most"),
    ):
        study.ask()


def test_added_configurations_are_next_and_survive(tmp_path: Path) -> None:
    with Study(tmp_path, PROBLEM, RandomSearch()) as study:
        study.add({"lr": 0.03})
        study.add({"lr": 0.03})
        with pytest.raises(UnknownNameError, match="'rate'"):
            study.add({"rate": 1.0})
    with Study(tmp_path, PROBLEM, RandomSearch()) as study:
        proposal, another = study.ask(), study.ask()
        assert proposal
        assert another
        assert proposal.config == {"lr": 0.03, "width": 8, "uses": False}
        assert another.config["lr"] != 0.03
        assert study.trials[0].config == proposal.config
        assert study.result.trials[0].operation == "given"


def test_a_directory_has_one_study_and_one_process(tmp_path: Path) -> None:
    with Study(tmp_path, PROBLEM, RandomSearch()) as study:
        study.ask()
        with pytest.raises(DirectoryInUseError):
            Study(tmp_path, PROBLEM, RandomSearch())
    with pytest.raises(SearchMismatchError, match="algorithm"):
        Study(tmp_path, PROBLEM, PriMO())


def test_what_is_told_wrongly_is_refused_and_stays_pending(tmp_path: Path) -> None:
    with Study(tmp_path, PROBLEM, MOASHA()) as study:
        proposal = study.ask()
        assert proposal is not None
        for arguments, text in (
            ((7, {"error": 1.0}), "not pending"),
            ((0, {}), "no value of 'error'"),
            ((0, {"error": "low"}), "no number"),
            ((0, [1.0]), "values by name"),
        ):
            with pytest.raises(InvalidArgumentError, match=text):
                study.tell(*arguments)  # type: ignore[arg-type]
        with pytest.raises(UnknownNameError, match="'eror'"):
            study.tell(0, {"eror": 1.0})
        with pytest.raises(InvalidArgumentError, match="'epoch'"):
            study.tell(0, {"error": 1.0}, epoch=99)
        with pytest.raises(InvalidArgumentError, match="'status'"):
            study.fail(0, "fine", status=Status.OK)
        assert study.pending == (proposal,)
    with pytest.raises(InvalidArgumentError, match="'problem'"):
        Study(tmp_path, "problem")  # type: ignore[arg-type]


CONSTRAINED = make_problem(
    constraints=(
        Objective(name="accuracy", mode="max", at_least=0.9),
        Objective(name="latency", kind=Kind.MEASURED, at_most=2.0),
    )
)


def test_a_trained_constraint_makes_full_trainings_infeasible(tmp_path: Path) -> None:
    with Study(tmp_path / "s", CONSTRAINED, RandomSearch()) as study:
        for accuracy in (0.95, 0.85):
            proposal = study.ask()
            assert proposal is not None
            told = {"error": accuracy, "accuracy": accuracy, "latency": 1.0}
            study.tell(proposal.trial_id, told, curve={4: {"error": 1.0, "accuracy": 0.5}, 5: {"error": 1.0}})
        good, bad = (trial.evaluations[0] for trial in study.trials)
        assert good.ok
        assert good.measurements == {"accuracy": 0.95, "latency": 1.0}
        assert good.constraints == {4: {"accuracy": 0.5}, 9: {"accuracy": 0.95}}
        assert CONSTRAINED.infeasibility(good) is None
        assert CONSTRAINED.limited(good, 4) == (-0.5,)
        assert "accuracy = 0.85 is below at_least = 0.9" in (CONSTRAINED.infeasibility(bad) or "")
        assert [trial.id for trial in study.result.front] == [0]  # though the other one's error is lower
    assert [trial.id for trial in read_result(tmp_path / "s").front] == [0]


def test_a_measured_constraint_rejects_a_trial(tmp_path: Path) -> None:
    with Study(tmp_path / "s", CONSTRAINED, MOASHA()) as study:
        proposal = study.ask()
        assert proposal is not None
        assert proposal.epoch < CONSTRAINED.max_epochs
        study.tell(proposal.trial_id, {"error": 1.0, "latency": 3.0})  # no accuracy: it is not trained to the end
        (evaluation,) = study.trials[0].evaluations
        assert evaluation.status is Status.REJECTED
        assert "latency = 3 exceeds at_most = 2" in evaluation.reason
        assert evaluation.cost == proposal.epoch
        assert not study.result.front


def test_what_says_nothing_of_a_bound_is_refused(tmp_path: Path) -> None:
    with Study(tmp_path / "s", CONSTRAINED, RandomSearch()) as study:
        proposal = study.ask()
        assert proposal is not None
        with pytest.raises(InvalidArgumentError, match="no value of the constraint 'accuracy'"):
            study.tell(proposal.trial_id, {"error": 1.0, "latency": 1.0})
        with pytest.raises(InvalidArgumentError, match="no value of the constraint 'latency'"):
            study.tell(proposal.trial_id, {"error": 1.0, "accuracy": 1.0}, epoch=3, finished=True)
        with pytest.raises(InvalidArgumentError, match="has the constraint 'accuracy'; tell it in 'values'"):
            study.tell(proposal.trial_id, {"error": 1.0, "latency": 1.0}, measurements={"accuracy": 0.95})
        study.tell(proposal.trial_id, {"error": 1.0, "accuracy": math.nan, "latency": 1.0})
        assert study.trials[0].evaluations[0].reason == "accuracy is not finite"


def test_exact_constraints_are_computed(tmp_path: Path) -> None:
    size = Objective(name="size", kind=Kind.EXACT, at_most=64)
    with Study(tmp_path / "s", make_problem(objectives=(Objective(name="error"),), constraints=(size,))) as study:
        proposal = study.ask()
        assert proposal is not None
        study.tell(proposal.trial_id, {"error": 1.0})
        assert study.trials[0].evaluations[0].measurements == {"size": proposal.config["width"]}
