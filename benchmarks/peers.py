"""How many full trainings a front costs: our algorithms and other optimisers on the same problems.

Told is the share of the best known front's hypervolume that is missing after 8, 12, 18, 25 and 40 full trainings.
Only results at the full budget count, and only once their training has ended.

Problems, which take seconds as nothing is trained:
  lcbench:TASK   error and seconds by YAHPO Gym's surrogate, 2 to 52 epochs (--data-dir: lcbench/model.onnx)
  lcbench-error:TASK   the error alone: the share of the way from a random training's error to the least known one
  lcbench-parameters:TASK   error and parameters, which are exact
  nasbench201    error and FLOPs in the table, 12 or 200 epochs (--data-dir: nasbench201/nasbench201_condensed.npz)
  toy:2, trade-off:3   those of lightning_primo.testing.problems, which need no data
The front is the true one of nasbench201, and of the others that of 108,000 evaluations of an evolutionary search,
as far into a surrogate's corners as these let it; with --random-front N that of N random configurations.

Priors, one per objective: of 1,000 configurations the 20th best (good) or the worst (misleading) of each objective; on
nasbench201 an expert's, or the worst cells without a missing edge.

Peers have full trainings only, all objectives as black boxes, and Optuna's or Ax's defaults where not said otherwise:
  optuna-gp, optuna-tpe (multivariate, in groups), optuna-nsga2 (a population of 8)   pip install optuna
  ax (inactive hyperparameters are proposed too, and dropped)                         pip install ax-platform
They have no priors; the centres are the first configurations that they train. What is not installed is left out. An
ask of ax takes seconds.

Every search that ends is a line of runs.jsonl in --output. The same call goes on where it was stopped, and one with
more seeds, problems or optimisers runs only what is missing, whatever has become of the code since: another version
wants another --output. In the end table.md, table.csv and missing.png there show what was asked for.

    python -m benchmarks.peers --problems toy:2 --priors none --seeds 2
    python -m benchmarks.peers --data-dir data --full-trainings 40 --seeds 10 --workers 8
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from functools import partial
from itertools import product
from pathlib import Path

from benchmarks.comparison import report
from benchmarks.comparison.fronts import KnownFront, known_front, sampled_front
from benchmarks.comparison.optimisers import OPTIMISERS, reason_to_leave_out
from benchmarks.comparison.problems import CONDITIONS, PROBLEMS, MissingDataError, problem_named
from benchmarks.comparison.runs import Job, RunsFile, outcomes, search
from lightning_primo.workers import InProcess, LocalProcesses, Workers

_INTERRUPTED = 130  # what shells report for Ctrl-C


def main(arguments: Sequence[str] | None = None) -> None:
    """Run what is missing, and report all that was asked for.

    Args:
        arguments: Of the command line; default: those of this process.
    """
    options = _parser().parse_args(arguments)
    try:
        _compare(options)
    except KeyboardInterrupt:
        print(f"\nstopped; the same call goes on from what is in {options.output}", file=sys.stderr)
        raise SystemExit(_INTERRUPTED) from None


def _compare(options: argparse.Namespace) -> None:
    problems = _with_data(options.problems, options.data_dir)
    optimisers = _that_can_run(options.optimisers, options.priors)
    jobs = [
        Job(problem, condition, name, seed)  # all advance together, so that an interrupted comparison is one
        for seed, problem, (name, condition) in product(range(options.seeds), problems, optimisers)
    ]
    fronts = {name: _front(name, options) for name in problems}
    runs = RunsFile(options.output / "runs.jsonl")
    workers: Workers = InProcess() if options.workers == 1 else LocalProcesses(options.workers)
    with workers:
        _run(workers, jobs, runs, options)
    _report([job for job in jobs if not runs.missing([job], options.full_trainings)], runs, fronts, options)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.peers",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )

    def names(option: str, choices: Sequence[str], what: str) -> None:
        parser.add_argument(
            option,
            nargs="+",
            choices=choices,
            default=list(choices),
            metavar="NAME",
            help=f"{what}: {', '.join(choices)} (default: all)",
        )

    names("--problems", PROBLEMS, "what is searched")
    names("--optimisers", OPTIMISERS, "with what")
    names("--priors", CONDITIONS, "what experts believe")
    parser.add_argument("--seeds", type=_count, default=5, help="searches of each, from 0 (default: %(default)s)")
    parser.add_argument("--full-trainings", type=_count, default=25, help="budget of a search (default: %(default)s)")
    parser.add_argument(
        "--random-front",
        type=_count,
        metavar="N",
        help="measure by the front of N random configurations, where the true one is not known",
    )
    parser.add_argument("--workers", type=_count, default=2, help="searches at a time (default: %(default)s)")
    parser.add_argument("--data-dir", type=Path, default=Path("data"), help="the data (default: %(default)s)")
    parser.add_argument("--output", type=Path, default=Path("runs/peers"), help="(default: %(default)s)")
    return parser


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, got {text}")
    return number


def _with_data(names: Sequence[str], data_dir: Path) -> list[str]:
    there = []
    for name in dict.fromkeys(names):
        lacking = _lacking(name, data_dir)
        if lacking is None:
            there.append(name)
        else:
            print(f"{name} is left out: {lacking}", flush=True)
    if not there:
        raise SystemExit("there is nothing to search: give --data-dir, or --problems toy:2 trade-off:3")
    return there


def _lacking(name: str, data_dir: Path) -> str | None:
    try:
        problem_named(name, data_dir)
    except MissingDataError as error:
        return str(error)
    return None


def _that_can_run(names: Sequence[str], conditions: Sequence[str]) -> list[tuple[str, str]]:
    able = []
    for name, condition in product(dict.fromkeys(names), dict.fromkeys(conditions)):
        reason = reason_to_leave_out(name, condition)
        if reason is None:
            able.append((name, condition))
        else:
            print(f"{name}, priors {condition}, is left out: {reason}", flush=True)
    return able


def _front(name: str, options: argparse.Namespace) -> KnownFront:
    searched, folder, stem = problem_named(name, options.data_dir), options.output / "fronts", name.replace(":", "-")
    if options.random_front is None or searched.front is not None:
        return known_front(searched, folder / f"{stem}.npy")
    find = partial(sampled_front, n_random=options.random_front)
    return known_front(searched, folder / f"{stem}-random-{options.random_front}.npy", find)


def _run(workers: Workers, jobs: Sequence[Job], runs: RunsFile, options: argparse.Namespace) -> None:
    missing = runs.missing(jobs, options.full_trainings)
    print(f"{len(missing)} searches to run, {len(jobs) - len(missing)} are there already", flush=True)
    start = time.monotonic()
    one = partial(search, data_dir=options.data_dir, full_trainings=options.full_trainings)
    for n_done, (job, outcome) in enumerate(outcomes(workers, one, missing), start=1):
        if isinstance(outcome, Exception):
            reason = (str(outcome).strip() or type(outcome).__name__).splitlines()[0]
            told = f"is left out: {type(outcome).__name__}: {reason}"
        else:
            runs.add(outcome)
            told = f"{outcome.seconds_per_ask:.2g} s an ask"
        print(f"{n_done} of {len(missing)}, {time.monotonic() - start:.0f} s: {job}, {told}", flush=True)


def _report(done: Sequence[Job], runs: RunsFile, fronts: dict[str, KnownFront], options: argparse.Namespace) -> None:
    if not done:
        raise SystemExit("there is nothing to compare: every search was left out, for the reasons above")
    groups = {name: problem_named(name, options.data_dir).group for name in fronts}
    keys = sorted(
        {(groups[job.problem], job.priors, job.optimiser) for job in done},
        key=lambda key: (list(groups.values()).index(key[0]), CONDITIONS.index(key[1]), OPTIMISERS.index(key[2])),
    )
    cells = [
        report.Cell(
            *key,
            [
                runs.runs[job].within(options.full_trainings)
                for job in done
                if (groups[job.problem], job.priors, job.optimiser) == key
            ],
            fronts,
        )
        for key in keys
    ]
    rows = report.table(cells, options.full_trainings)
    print(f"\n{report.as_text(rows)}")
    (options.output / "table.md").write_text(report.as_markdown(rows), encoding="utf-8")
    rows.to_csv(options.output / "table.csv", index=False)
    report.plot(cells, options.full_trainings, options.output / "missing.png")
    print(f"table: {options.output / 'table.md'}, table.csv\npicture: {options.output / 'missing.png'}")


if __name__ == "__main__":
    main()
