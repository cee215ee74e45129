"""What knowing the bounds on what is trained is worth, against filtering what a search without them has found.

```sh
python -m benchmarks.constraints                 # 10 seeds, 25 full trainings; about ten minutes on a core
python -m benchmarks.constraints --problems digits --full-trainings 12 --algorithms RandomSearch PriMO
python -m benchmarks.constraints --seeds 2 --full-trainings 15
```

Both problems are functions, of 27 epochs. `constr` (Deb 2001, "Multi-Objective Optimization using Evolutionary
Algorithms", section 8.3) has a feasible front that is known: `f2 = 7 / f1 - 9` up to `f1 = 2/3`, then `1 / f1`. In
`network`, the toy problem of the conformance suite, a bound on the error, an objective, and one on the training time, a
constraint, leave a fifth of the space; its front is that of 20,000 random configurations. `digits` is trained: error
against parameters of a perceptron, the recall of its worst class at least 0.85; its front is that of all searches
together (about fifteen minutes more).

What is compared is the hypervolume of the feasible front as a share of that of the whole one, mean and standard error
over the seeds. Random search draws the same configurations either way. Each other algorithm is run with the bounds, and
without them, when its feasible trials are picked out afterwards.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from ConfigSpace import ConfigurationSpace, Float

from benchmarks.constrained_digits import compare
from lightning_primo.algorithms import MOASHA, NSGA2, Algorithm, PriMO, RandomSearch
from lightning_primo.pareto import hypervolume
from lightning_primo.problem import Problem
from lightning_primo.problem.objective import Objective
from lightning_primo.problem.trial import Config, Evaluation
from lightning_primo.testing.problems import drive, evaluator, limited_problem, toy_values

_EPOCHS = 27
_N_RANDOM = 20_000

ALGORITHMS: dict[str, Callable[[], Algorithm]] = {
    "RandomSearch": RandomSearch,
    "MOASHA": MOASHA,
    "NSGA2": lambda: NSGA2(population_size=8),
    "PriMO": PriMO,
}


@dataclass(frozen=True)
class Case:
    """A problem, the values of its configurations, and the reference point that all are compared by."""

    name: str
    problem: Problem
    values: Callable[[Config, int], dict[str, float]]
    reference: Sequence[float]

    @property
    def unbounded(self) -> Problem:
        """The same without bounds, the objectives' references kept."""
        free = (replace(o, at_most=None, at_least=None, reference=o.reference or o.at_most) for o in self.objectives)
        return replace(self.problem, objectives=tuple(free), constraints=())

    @property
    def objectives(self) -> tuple[Objective, ...]:
        """With their bounds."""
        return self.problem.objectives

    def is_feasible(self, config: Config) -> bool:
        """Whether a configuration keeps all bounds when it is fully trained."""
        values = self.values(config, _EPOCHS)
        limits = (*self.problem.objectives, *self.problem.constraints)
        return not any(limit.violation(values[limit.name]) for limit in limits)

    def volume(self, configs: Sequence[Config]) -> float:
        """The hypervolume of those of some configurations that are feasible when fully trained."""
        kept = [self.values(config, _EPOCHS) for config in configs if self.is_feasible(config)]
        losses = [tuple(o.loss(values[o.name]) for o in self.objectives) for values in kept]
        reference = [o.loss(value) for o, value in zip(self.objectives, self.reference, strict=True)]
        scaled = self.problem.scaled_losses([*losses, tuple(reference)])
        return hypervolume(scaled[:-1], scaled[-1])


def constr_values(config: Config, epoch: int) -> dict[str, float]:
    """CONSTR, its second objective and both constraints approached from the bad side while it is trained."""
    x, y = float(config["x"]), float(config["y"])
    late = 0.5 * (1 / (epoch + 1) - 1 / (_EPOCHS + 1))
    return {"f1": x, "f2": (1 + y) / x + late, "g1": y + 9 * x - late, "g2": 9 * x - y - late}


def constr() -> Case:
    """CONSTR: two objectives, two constraints; a third of the front without these is infeasible."""
    space = ConfigurationSpace(seed=0)
    space.add(Float("x", (0.1, 1.0)), Float("y", (0.0, 5.0)))
    problem = Problem(
        space=space,
        objectives=(Objective(name="f1", reference=1.0), Objective(name="f2", reference=9.0)),
        constraints=(Objective(name="g1", mode="max", at_least=6.0), Objective(name="g2", mode="max", at_least=1.0)),
        max_epochs=_EPOCHS,
    )
    return Case("constr", problem, constr_values, (1.0, 9.0))


def network() -> Case:
    """The toy network with a bound on its error and on its training time."""
    return Case("network", limited_problem(2), toy_values, (0.44, 1e6))


def best(case: Case) -> float:
    """The hypervolume of the whole feasible front."""
    if case.name == "constr":
        x = np.linspace(7 / 18, 1.0, 4001)
        y = np.maximum(0.0, 6 - 9 * x)
        return case.volume([{"x": float(a), "y": float(b) + 1e-9} for a, b in zip(x, y, strict=True)])
    algorithm = RandomSearch()
    algorithm.start(case.problem, seed=12345)
    return case.volume([dict(algorithm.problem.space.sample_configuration()) for _ in range(_N_RANDOM)])


def reached(
    case: Case, algorithm: Algorithm, problem: Problem, *, seed: int, full_trainings: float
) -> tuple[float, float]:
    """The feasible hypervolume of a search, and the share of its full trainings that is feasible."""
    algorithm.start(problem, seed=seed)
    events = drive(algorithm, evaluator(problem, case.values), epochs=full_trainings * _EPOCHS)
    full = [e.trial_id for e in events if isinstance(e, Evaluation) and e.counts_at(_EPOCHS)]
    configs = [algorithm.trials[trial_id].config for trial_id in full]
    return case.volume(configs), sum(map(case.is_feasible, configs)) / len(configs)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--full-trainings", type=float, default=25.0)
    parser.add_argument("--problems", nargs="+", default=["constr", "network"], choices=["constr", "network", "digits"])
    parser.add_argument("--algorithms", nargs="+", default=["RandomSearch", "NSGA2", "PriMO"], choices=list(ALGORITHMS))
    options = parser.parse_args()
    runs = {name: ["filtered"] if name == "RandomSearch" else ["known", "filtered"] for name in options.algorithms}
    print(f"{'problem':8} {'algorithm':13} {'bounds':10} {'hypervolume':>18} {'feasible':>9}")
    for case in (case for case in (constr(), network()) if case.name in options.problems):
        whole = best(case)
        for name, labels in runs.items():
            for label in labels:
                problem = case.problem if label == "known" else case.unbounded
                rows = np.array(
                    [
                        reached(case, ALGORITHMS[name](), problem, seed=seed, full_trainings=options.full_trainings)
                        for seed in range(options.seeds)
                    ]
                )
                _print(case.name, name, label, rows[:, 0] / whole, rows[:, 1].mean())
    if "digits" in options.problems:
        algorithms = [(name, ALGORITHMS[name], labels) for name, labels in runs.items()]
        for row in compare(algorithms, seeds=options.seeds, full_trainings=options.full_trainings):
            _print("digits", *row)


def _print(problem: str, algorithm: str, bounds: str, shares: npt.NDArray[np.float64], feasible: float) -> None:
    error = shares.std(ddof=1) / np.sqrt(len(shares)) if len(shares) > 1 else 0.0
    row = f"{problem:8} {algorithm:13} {bounds:10} {shares.mean():10.3f} ± {error:5.3f} {feasible:9.0%}"
    print(row, flush=True)


if __name__ == "__main__":
    main()
