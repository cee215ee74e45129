"""What giving trials up after their first folds saves, and what it costs: digits with five folds.

```sh
python -m benchmarks.folds                 # 3 seeds of 20 trials; about two minutes on a core
python -m benchmarks.folds --seeds 1 --trials 12
```

Random search over a perceptron's depth, widths, dropout and learning rate: error against parameters. Its proposals do
not depend on what came of others, so that the trials that were given up can be trained on their other folds afterwards;
what the front would have been without giving up is then known.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import dataclass
from pathlib import Path

from benchmarks.perceptron import Perceptron, perceptron_space
from datamodules import Digits
from lightning_primo import Metric, ParameterCount, RandomSearch, Search
from lightning_primo.pareto import hypervolume, non_dominated
from lightning_primo.problem.trial import Proposal
from lightning_primo.training.plan import TrainingPlan
from lightning_primo.training.replicates.run import run_trial

_REFERENCE = {"val_error": 0.5, "parameters": 1e5}


@dataclass(frozen=True)
class Outcome:
    """What one search came to, and what it would have without giving up."""

    trials: int
    given_up: int
    epochs: float
    epochs_without: float
    front: tuple[int, ...]
    front_without: tuple[int, ...]
    volume: float
    volume_without: float


def compare(seed: int, *, trials: int, folds: int, epochs: int, directory: Path) -> Outcome:
    """Search with giving up, then train what was given up on its other folds.

    Args:
        seed: Of the search.
        trials: Configurations.
        folds: Of each.
        epochs: Of each training.
        directory: For what is written.
    """
    search = Search(
        perceptron_space(),
        module=Perceptron,
        datamodule=Digits(batch_size=128),
        objectives=[Metric("val_error", reference=_REFERENCE["val_error"]), ParameterCount()],
        epochs=(1, epochs),
        algorithm=RandomSearch(),
        folds=folds,
        directory=directory / f"search-{seed}",
        trainer={"accelerator": "cpu", "logger": False},
        seed=seed,
    )
    result = search.run(trials=trials, progress=False, report=False)
    whole = TrainingPlan(
        factory=search.factory,
        objectives=search.objectives,
        constraints=(),
        problem=search.problem,
        directory=directory / f"whole-{seed}",
        seed=seed,
        options=search.options,
    )
    given_up = {trial.id for trial in result.trials if trial.given_up}
    told = {evaluation.trial_id: evaluation for evaluation in result.evaluations}
    for proposal, _ in result.events:
        if isinstance(proposal, Proposal) and proposal.trial_id in given_up:
            told[proposal.trial_id] = run_trial(whole.job(proposal))  # which has no bar to reach
    complete = [evaluation for evaluation in told.values() if evaluation.ok]
    losses = [evaluation.losses for evaluation in complete]
    front = sorted(e.trial_id for e, on_front in zip(complete, non_dominated(losses), strict=True) if on_front)
    with_it = [e for e in complete if e.trial_id not in given_up]
    kept = non_dominated([e.losses for e in with_it])
    problem = search.problem
    reference = problem.scaled_losses([tuple(_REFERENCE.values())])[0]
    return Outcome(
        trials=len(result.trials),
        given_up=len(given_up),
        epochs=result.epochs,
        epochs_without=sum(evaluation.cost for evaluation in told.values()),
        front=tuple(sorted(e.trial_id for e, on_front in zip(with_it, kept, strict=True) if on_front)),
        front_without=tuple(front),
        volume=hypervolume(problem.scaled_losses([e.losses for e in with_it]), reference),
        volume_without=hypervolume(problem.scaled_losses(losses), reference),
    )


def main() -> None:
    """Print a line per seed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=6)
    options = parser.parse_args()
    print("seed  trials  given up  epochs  without    saved  hypervolume  without  front (without, if another)")
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(options.seeds):
            arguments = {"trials": options.trials, "folds": options.folds, "epochs": options.epochs}
            one = compare(seed, directory=Path(folder), **arguments)
            saved = 1 - one.epochs / one.epochs_without
            front = ", ".join(map(str, one.front))
            other = "" if one.front == one.front_without else f" ({', '.join(map(str, one.front_without))})"
            print(
                f"{seed:4}  {one.trials:6}  {one.given_up:8}  {one.epochs:6.0f}  {one.epochs_without:7.0f}"
                f"  {saved:7.0%}  {one.volume:11.4f}  {one.volume_without:7.4f}  {front}{other}",
                flush=True,
            )


if __name__ == "__main__":
    main()
