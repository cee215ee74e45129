"""However many trials wait to be continued, an evaluation asks about few of them, and none is forgotten."""

from __future__ import annotations

from pathlib import Path

from lightning_primo.algorithms import MOASHA
from lightning_primo.layout import CHECKPOINT, trial_directory
from lightning_primo.problem.trial import Evaluation, Trial
from lightning_primo.testing.problems import drive, evaluator, toy_problem
from lightning_primo.training.checkpoint.retention import Retention


class Waiting(MOASHA):
    """Counts how often it is asked about a trial, and may give all of them up."""

    n_asked_about = 0
    gives_up = False

    def may_continue(self, trial: Trial) -> bool:
        self.n_asked_about += 1
        return not self.gives_up and super().may_continue(trial)


def kept(directory: Path) -> set[int]:
    return {int(path.parent.name) for path in directory.rglob(CHECKPOINT)}


def run(directory: Path, n_evaluations: int) -> tuple[Waiting, Retention, int]:
    """A search whose every evaluation leaves a checkpoint, and how many each of the last tenth asked about."""
    problem = toy_problem(2)
    algorithm = Waiting()
    algorithm.start(problem)
    checkpoints = Retention(directory, algorithm, problem, noisy=[])
    evaluate, n_told, before = evaluator(problem), 0, 0
    while n_told < n_evaluations:
        evaluation = evaluate(algorithm.ask())
        algorithm.tell(evaluation)
        folder = trial_directory(directory, evaluation.trial_id)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / CHECKPOINT).touch()
        checkpoints.add(evaluation)
        checkpoints.prune()
        n_told += 1
        if n_told == n_evaluations - n_evaluations // 10:
            before = algorithm.n_asked_about
    return algorithm, checkpoints, (algorithm.n_asked_about - before) * 10 // n_evaluations


def needed(algorithm: Waiting) -> set[int]:
    """The trials that may be continued, and the front."""
    problem = algorithm.problem
    going = {trial.id for trial in algorithm.trials if algorithm.may_continue(trial)}
    full = [trial for trial in algorithm.trials if trial.at(problem.max_epochs) is not None]
    losses = {trial.id: trial.at(problem.max_epochs).losses for trial in full}
    front = {
        i
        for i, a in losses.items()
        if not any(all(x <= y for x, y in zip(b, a, strict=True)) and b != a for b in losses.values())
    }
    return going | front


def test_few_that_wait_are_all_asked_about(tmp_path: Path) -> None:
    algorithm, checkpoints, _ = run(tmp_path, 60)
    assert kept(tmp_path) == needed(algorithm)
    algorithm.gives_up = True
    checkpoints.add(algorithm.trials[-1].evaluations[-1])
    checkpoints.prune()
    assert kept(tmp_path) == needed(algorithm)


def test_of_many_each_evaluation_asks_about_a_limited_number(tmp_path: Path) -> None:
    algorithm, checkpoints, asked = run(tmp_path, 600)
    n_waiting = len(needed(algorithm))
    assert n_waiting > 300
    assert asked < 100
    algorithm.gives_up = True
    checkpoints.prune(completely=True)
    assert kept(tmp_path) == needed(algorithm)
    assert len(kept(tmp_path)) < 20


def test_what_was_told_before_is_looked_at_when_a_search_goes_on(tmp_path: Path) -> None:
    problem = toy_problem(2)
    algorithm = Waiting()
    algorithm.start(problem)
    events = drive(algorithm, evaluator(problem), epochs=20 * 27)
    checkpoints = Retention(tmp_path, algorithm, problem, noisy=[])
    for event in events:
        if isinstance(event, Evaluation):
            folder = trial_directory(tmp_path, event.trial_id)
            folder.mkdir(parents=True, exist_ok=True)
            (folder / CHECKPOINT).touch()
            checkpoints.add(event)
    checkpoints.prune()
    assert kept(tmp_path) == needed(algorithm)
