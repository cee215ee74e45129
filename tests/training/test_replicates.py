"""Trials that are trained several times: means, deviations, giving up, resuming, what is refused."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ConfigSpace import ConfigurationSpace

from lightning_primo import KFoldData, Metric, ParameterCount, RandomSearch, SuccessiveHalving
from lightning_primo.algorithms import PB2, PBT, BulkAndCut
from lightning_primo.algorithms.parts.observations import observe
from lightning_primo.errors import InvalidArgumentError, SearchMismatchError
from lightning_primo.factory import Factory
from lightning_primo.layout import checkpoint_file, replicate_directory, search_directory, stop_file, trial_directory
from lightning_primo.problem import Problem
from lightning_primo.problem.objective import Kind, Objective
from lightning_primo.problem.trial import Evaluation, Proposal, Status
from lightning_primo.store import read_events
from lightning_primo.store.codec import decode_evaluation, encode_evaluation
from lightning_primo.training import Job, TrainingOptions, crashed, run_job
from lightning_primo.training.replicates.bar import Bar, Bars
from lightning_primo.training.replicates.combination import combined_failure
from lightning_primo.training.replicates.run import replicate_job, run_trial
from tests.training.replicated import Noisy, Plain, make_search, numbers

ERROR = Objective(name="error", mode="min", kind=Kind.TRAINED)
SIZE = Objective(name="size", mode="min", kind=Kind.EXACT)


def make_job(
    directory: Path, *, repeats: int = 1, folds: int | None = None, level: float = 0.5, **fields: object
) -> Job:
    options = TrainingOptions(trainer={"accelerator": "cpu", "logger": False}, repeats=repeats, folds=folds)
    return Job(
        **{
            "trial_id": 3,
            "config": {"level": level},
            "seed": 7,
            "epoch": 2,
            "max_epochs": 2,
            "directory": trial_directory(directory, 3),
            "factory": Factory(Noisy, KFoldData(numbers(), batch_size=10)),
            "objectives": (Metric("noisy"),),
            "options": options,
            **fields,
        }
    )


def test_mean_and_deviation_are_those_of_the_replicates_trained_alone(tmp_path: Path) -> None:
    job = make_job(tmp_path, repeats=3)
    alone = [run_trial(replace(job, options=TrainingOptions(trainer=job.options.trainer)))]
    alone += [run_trial(replace(replicate_job(job, i), options=alone_options(job))) for i in (1, 2)]
    values = [evaluation.losses[0] for evaluation in alone]
    assert len(set(values)) == 3

    told = run_trial(replace(job, directory=trial_directory(tmp_path / "again", 3)))

    assert told.ok
    assert told.losses == pytest.approx((np.mean(values),))
    assert told.deviations == {"noisy": pytest.approx(np.std(values, ddof=1) / math.sqrt(3))}
    assert told.curve[2] == told.losses
    assert told.measurements["replicates"] == 3
    assert told.cost == 6
    assert not told.given_up
    assert decode_evaluation(encode_evaluation(replace(told, given_up=True))) == replace(told, given_up=True)


def alone_options(job: Job) -> TrainingOptions:
    return TrainingOptions(trainer=job.options.trainer)


def test_every_sample_is_validated_on_once(tmp_path: Path) -> None:
    job = make_job(tmp_path, folds=5, objectives=(Metric("fold"), Metric("seen")))
    told = run_trial(job)
    assert told.losses[0] == pytest.approx(np.mean(range(10)))  # the folds are of one size
    assert told.losses[1] == 2
    assert told.deviations["seen"] == 0.0
    assert told.deviations["fold"] > 0


def test_seeds_and_folds_together_are_trainings_of_each(tmp_path: Path) -> None:
    job = make_job(tmp_path, repeats=2, folds=2, objectives=(Metric("fold"),))
    told = run_trial(job)
    assert told.measurements["replicates"] == 4
    assert told.losses[0] == pytest.approx(4.5)
    assert [job.options.fold(i) for i in range(4)] == [(0, 2), (1, 2), (0, 2), (1, 2)]


def test_a_shorter_training_is_carried_out_once(tmp_path: Path) -> None:
    told = run_trial(make_job(tmp_path, repeats=3, epoch=1))
    assert (told.epoch, told.cost) == (1, 1)
    assert "replicates" not in told.measurements
    assert told.deviations == {}
    promoted = run_trial(make_job(tmp_path, repeats=3, start_epoch=1))
    assert promoted.cost == 1 + 2 * 2
    assert promoted.losses == run_trial(make_job(tmp_path / "at once", repeats=3)).losses


def test_a_trial_that_is_clearly_bad_is_given_up(tmp_path: Path) -> None:
    bar = Bar(front=((0.1,),), variances={"noisy": 1e-4}, degrees=20)
    bad = run_trial(make_job(tmp_path / "bad", repeats=3, level=0.5, bar=bar))
    assert bad.given_up
    assert (bad.measurements["replicates"], bad.cost) == (1, 2)
    assert bad.deviations["noisy"] == pytest.approx(0.01)
    good = run_trial(make_job(tmp_path / "good", repeats=3, level=0.1, bar=bar))
    assert not good.given_up
    assert good.measurements["replicates"] == 3


def test_one_that_cannot_keep_a_bound_is_given_up_without_a_front(tmp_path: Path) -> None:
    bar = Bar(variances={"noisy": 1e-4}, degrees=20)
    bounded = (Metric("noisy", at_most=0.3),)
    assert run_trial(make_job(tmp_path / "a", repeats=3, bar=bar, objectives=bounded)).given_up
    assert not run_trial(make_job(tmp_path / "b", repeats=3, bar=bar, objectives=bounded, level=0.3)).given_up
    constrained = make_job(tmp_path / "c", repeats=3, bar=Bar(variances={"fold": 0.1, "noisy": 0.1}, degrees=20))
    told = run_trial(replace(constrained, constraints=(Metric("fold", at_least=9.0, mode="max"),)))
    assert told.given_up
    assert told.constraints[2]["fold"] == told.measurements["fold"]


def test_a_failure_in_one_replicate_is_the_trials(tmp_path: Path) -> None:
    for number in range(20):
        job = make_job(tmp_path / str(number), repeats=3, seed=number, config={"level": 0.5, "fails": 0.5})
        told = run_trial(job)
        if told.status is Status.DIVERGED and told.reason.startswith("replicate"):
            break
    else:
        raise AssertionError("no seed of which the second or third replicate fails")
    which = int(told.reason.split()[1])
    assert told.reason.startswith(f"replicate {which} of 3: ")
    assert told.measurements["replicates"] == which - 1
    assert told.cost > 2
    assert not told.ok


def test_models_are_told_of_a_failure_in_one_replicate() -> None:
    algorithm = RandomSearch()
    posed = replace(problem(), constraints=(Objective(name="loss", at_most=0.5),))
    algorithm.start(posed, seed=0)
    loss = {"constraints": {3: {"loss": 0.3}, 9: {"loss": 0.2}}, "measurements": {"loss": 0.2, "replicates": 3.0}}
    for error in (0.5, 0.6, 0.7):
        proposal = algorithm.ask()
        assert proposal is not None
        algorithm.tell(told(proposal.trial_id, error, 1 - error, curve={3: (0.9, 1 - error)}, **loss))
    proposal = algorithm.ask()
    assert proposal is not None
    lucky = told(proposal.trial_id, 0.1, 0.1, curve={3: (0.8, 0.1), 9: (0.1, 0.1)}, **loss)
    unlucky = replace(lucky, epoch=5, losses=(math.nan, 0.1), status=Status.DIVERGED, reason="loss is nan")
    algorithm.tell(combined_failure([lucky, unlucky], replicates=3))
    below, full = observe(algorithm, (3, 9)).rungs
    assert below.trials == (0, 1, 2, 3)
    assert full.trials == (0, 1, 2)
    assert len(full.losses) == 4
    np.testing.assert_array_equal(full.losses[3], full.losses[:3].max(axis=0))
    assert np.isnan(algorithm.feasibility.limited_at(algorithm.trials[3], 9)).all()


@pytest.mark.parametrize("repeats", [1, 3])
def test_a_worker_that_dies_after_the_last_epoch_leaves_no_result_there(tmp_path: Path, repeats: int) -> None:
    job = make_job(tmp_path, repeats=repeats)
    run_job(job)
    assert list(crashed(job, "the worker died").curve) == [1]


def test_an_interrupted_trial_goes_on_in_the_middle(tmp_path: Path) -> None:
    whole = run_trial(make_job(tmp_path / "whole", repeats=3))
    job = make_job(tmp_path / "parts", repeats=3)
    run_trial(replace(job, options=alone_options(job)))
    run_trial(replace(replicate_job(job, 1), options=alone_options(job), epoch=1))
    began = checkpoint_file(replicate_directory(job.directory, 1)).stat().st_mtime_ns
    again = run_trial(job)
    assert replace(again, seconds=0, measuring=0) == replace(whole, seconds=0, measuring=0)
    assert checkpoint_file(replicate_directory(job.directory, 1)).stat().st_mtime_ns > began


def test_the_users_wish_ends_any_replicate(tmp_path: Path) -> None:
    job = make_job(tmp_path, repeats=2)
    run_trial(replace(job, options=alone_options(job)))
    stop_file(job.directory).write_text("")
    told = run_trial(job)
    assert told.status is Status.STOPPED
    assert search_directory(replicate_directory(job.directory, 1)) == tmp_path


# --- the rule


def test_the_mean_of_all_stays_above_the_bound_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    n_trials, n_all = 20_000, 5
    values = rng.normal(size=(n_trials, n_all))
    pool = rng.normal(size=(n_trials, 7)).var(axis=1, ddof=1)  # 6 degrees of freedom
    lost = 0
    for row, variance in zip(values, pool, strict=True):
        best = Bar(variances={"error": variance}, degrees=6).best_mean(ERROR, row[:1], replicates=n_all)
        lost += row.mean() < best
    assert lost / n_trials == pytest.approx(0.01, abs=0.0025)  # three standard errors of the share


def test_with_few_replicates_before_nothing_is_given_up() -> None:
    assert Bar(variances={"error": 1.0}, degrees=3).best_mean(ERROR, [5.0], replicates=3) == -math.inf
    assert Bar().best_mean(ERROR, [5.0], replicates=3) == -math.inf
    # The last one's mean is known, so that nothing is left of the doubt.
    assert Bar(variances={"error": 1.0}, degrees=9).best_mean(ERROR, [4.0, 5.0, 6.0], replicates=3) == 5.0


def test_a_logarithmic_objective_differs_by_factors() -> None:
    log = Objective(name="error", mode="min", kind=Kind.TRAINED, log=True)
    bar = Bar(variances={"error": 0.01}, degrees=30)
    ratios = [bar.best_mean(log, [value], replicates=4) / value for value in (1e-3, 1.0, 1e3)]
    assert ratios == pytest.approx([ratios[0]] * 3)
    assert 0 < ratios[0] < 1
    accuracy = Objective(name="error", mode="max", kind=Kind.TRAINED, log=True)
    assert bar.best_mean(accuracy, [-2.0], replicates=4) == pytest.approx(-2.0 / ratios[0])


def problem(replicates: int = 3) -> Problem:
    return Problem(
        space=ConfigurationSpace({"x": (0.0, 1.0)}), objectives=(ERROR, SIZE), max_epochs=9, replicates=replicates
    )


def told(trial_id: int, error: float, size: float, **fields: object) -> Evaluation:
    return Evaluation(
        **{
            "trial_id": trial_id,
            "epoch": 9,
            "losses": (error, size),
            "deviations": {"error": 0.1},
            "measurements": {"replicates": 3.0},
            **fields,
        }
    )


def test_the_bar_is_that_of_the_moment_of_the_proposal() -> None:
    bars = Bars(problem(), ["error"])

    def asked(trial_id: int) -> Proposal:
        proposal = Proposal(trial_id=trial_id, config={"x": 0.5}, epoch=9)
        bars.asked(proposal)
        return proposal

    first, second = asked(0), asked(1)
    bars.told(told(0, 0.5, 10.0))
    assert bars.of(second) == Bar()
    third = asked(2)
    assert bars.of(third) == Bar(front=((0.5, 10.0),), variances={"error": pytest.approx(0.03)}, degrees=2)
    bars.told(told(1, 0.4, 11.0, deviations={"error": 0.3}))
    bars.told(told(2, 0.6, 9.0, given_up=True, measurements={"replicates": 1.0}))
    fourth = asked(3)
    assert bars.of(fourth).front == ((0.5, 10.0), (0.4, 11.0))
    assert bars.of(fourth).variances == {"error": pytest.approx((0.03 + 0.27) / 2)}
    assert bars.of(fourth).degrees == 4
    with pytest.raises(KeyError):
        bars.of(first)


def test_only_a_dominated_trial_is_excluded() -> None:
    bar = Bar(front=((0.5, 10.0), (0.2, 20.0)))
    assert bar.excludes((0.6, 10.0))
    assert not bar.excludes((0.6, 9.0))
    assert not bar.excludes((0.5, 10.0))
    assert not bar.excludes((-math.inf, 30.0))
    assert not Bar().excludes((9.0, 9.0))


def test_what_is_given_up_is_never_on_the_front() -> None:
    posed = problem()
    assert posed.counts(told(0, 0.5, 10.0))
    assert not posed.counts(told(0, 0.5, 10.0, given_up=True))


def test_a_proposal_to_the_full_budget_costs_all_replicates() -> None:
    posed = problem()
    costs = [
        posed.cost(Proposal(trial_id=0, config={}, epoch=epoch, start_epoch=start, final=final))
        for epoch, start, final in ((3, 0, False), (9, 3, False), (9, 0, False), (3, 0, True))
    ]
    assert costs == [3, 6 + 18, 27, 9]


# --- in a search


def test_a_search_gives_up_what_is_bad_and_goes_on_alike(tmp_path: Path) -> None:
    search = make_search(tmp_path / "a", repeats=3, objectives=[Metric("noisy")])
    result = search.run(full_trainings=21, progress=False, report=False)
    table = result.to_pandas()
    assert set(table["replicates"]) == {1.0, 3.0}
    given_up = [trial for trial in result.trials if trial.given_up]
    assert len(given_up) > 2
    assert {trial.id for trial in given_up}.isdisjoint({trial.id for trial in result.front})
    assert result.epochs == sum(2 * trial.measurements["replicates"] for trial in result.trials)
    assert 21 <= result.full_trainings < 24
    assert min(trial.values["noisy"] for trial in result.trials) == result.front[0].values["noisy"]
    for trial in result.trials:
        assert not list((tmp_path / "a" / "trials" / f"{trial.id:05d}").glob("replicates/*/*.ckpt"))

    parts = make_search(tmp_path / "b", repeats=3, objectives=[Metric("noisy")])
    parts.run(full_trainings=8, progress=False, report=False)
    parts = make_search(tmp_path / "b", repeats=3, objectives=[Metric("noisy")])
    parts.run(full_trainings=21, progress=False, report=False)
    assert logged(parts) == logged(search)


def logged(search: object) -> list[object]:
    events = [event for event, _ in read_events(search.directory, search._description)]  # type: ignore[attr-defined]
    return [replace(e, seconds=0, measuring=0) if isinstance(e, Evaluation) else e for e in events]


def test_rungs_come_before_replicates(tmp_path: Path) -> None:
    search = make_search(tmp_path, repeats=2, algorithm=SuccessiveHalving(eta=2), objectives=[Metric("noisy")])
    result = search.run(full_trainings=12, progress=False, report=False)
    low = [trial for trial in result.trials if trial.trained_partly]
    assert low
    assert all("replicates" not in trial.measurements for trial in low)
    assert any(trial.measurements.get("replicates") == 2 for trial in result.trials)


def test_trainings_by_steps_are_replicated_too(tmp_path: Path) -> None:
    steps = {"epochs": None, "steps": (2, 4), "datamodule": KFoldData(numbers(), batch_size=2)}
    search = make_search(tmp_path, folds=2, algorithm=SuccessiveHalving(eta=2), objectives=[Metric("fold")], **steps)
    result = search.run(full_trainings=6, progress=False, report=False)
    full = [trial for trial in result.trials if trial.trained_fully]
    assert full
    for trial in full:
        assert trial.values["fold"] == pytest.approx(4.5)
        assert trial.replicates == 2


def test_another_number_of_folds_is_another_search(tmp_path: Path) -> None:
    make_search(tmp_path, folds=2).run(trials=1, progress=False, report=False)
    with pytest.raises(SearchMismatchError, match="folds: stored 2, given none"):
        make_search(tmp_path).run(trials=1, progress=False, report=False)


@pytest.mark.parametrize("algorithm", [PBT(), PB2(), BulkAndCut(full_trainings=9)])
def test_algorithms_whose_trials_take_over_others_are_refused(tmp_path: Path, algorithm: object) -> None:
    with pytest.raises(InvalidArgumentError, match="'repeats' and 'folds' do not go with"):
        make_search(tmp_path, repeats=2, algorithm=algorithm)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"folds": 1}, "'folds'"),
        ({"folds": True}, "'folds'"),
        ({"repeats": 0}, "'repeats'"),
        ({"repeats": 2.5}, "'repeats'"),
        ({"folds": 3, "datamodule": None}, "'datamodule' is None"),
        ({"folds": 3, "datamodule": Plain()}, "Plain has no method 'fold'"),
        ({"folds": 3, "datamodule": Plain}, "Plain has no method 'fold'"),
        ({"folds": 3, "datamodule": {"train": []}}, "dataloaders that are made"),
    ],
)
def test_what_cannot_be_split_is_refused_at_once(tmp_path: Path, arguments: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidArgumentError, match=message):
        make_search(tmp_path, **arguments)


def test_a_function_that_makes_data_without_folds_is_refused_before_anything_is_trained(tmp_path: Path) -> None:
    search = make_search(tmp_path, folds=3, datamodule=lambda config: Plain())
    with pytest.raises(InvalidArgumentError, match="Plain has no method 'fold'"):
        search.run(trials=1, progress=False)


def test_costs_are_measured_once(tmp_path: Path) -> None:
    told = run_trial(make_job(tmp_path, repeats=2, objectives=(Metric("noisy"), ParameterCount())))
    assert told.losses[1] == 2
    assert "parameters" not in told.deviations
