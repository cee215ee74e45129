"""How far a prior is believed: closed forms, invariances, and what it costs where the expert is wrong."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from scipy.integrate import quad
from scipy.special import ndtri
from scipy.stats import multivariate_normal

from lightning_primo import EarnedTrust, FullTrust, PriMO, Prior
from lightning_primo.algorithms import PriorTrust
from lightning_primo.errors import InvalidArgumentError
from lightning_primo.testing.problems import drive, evaluator, toy_problem

Array = npt.NDArray[np.float64]

NOTHING = np.empty(0)


def told(trust: PriorTrust, log_densities: Array, losses: Array) -> float:
    return trust.probability(lambda: (log_densities, losses))


def test_without_evidence_it_is_what_was_given() -> None:
    assert told(EarnedTrust(0.7), NOTHING, NOTHING) == 0.7
    assert told(FullTrust(), NOTHING, NOTHING) == 1.0
    same = np.ones(5)
    assert told(EarnedTrust(0.7), same, np.arange(5.0)) == pytest.approx(0.7)
    assert told(EarnedTrust(0.7), np.arange(5.0), same) == pytest.approx(0.7)


@pytest.mark.parametrize("seed", range(4))
def test_is_the_posterior_probability_of_a_negative_correlation(seed: int) -> None:
    """By integration of the joint density of the normal scores, over a continuum of correlations."""
    rng = np.random.default_rng(seed)
    s = ndtri((rng.permutation(9) + 0.5) / 9)
    z = ndtri((rng.permutation(9) + 0.5) / 9)
    pairs = np.column_stack([s, z]) / s.std()

    def likelihood(rho: float) -> float:
        return float(np.exp(multivariate_normal([0, 0], [[1, rho], [rho, 1]]).logpdf(pairs).sum() + 20))

    falling, rising = quad(likelihood, -1, 0)[0], quad(likelihood, 0, 1)[0]
    expected = 0.8 * falling / (0.8 * falling + 0.2 * rising)
    assert told(EarnedTrust(), s, z) == pytest.approx(expected, abs=0.01)


def test_only_ranks_matter() -> None:
    rng = np.random.default_rng(0)
    densities, losses = rng.normal(size=12), rng.normal(size=12)
    trust = EarnedTrust()
    assert told(trust, np.exp(densities), losses**3) == pytest.approx(told(trust, densities, losses))
    rising = told(trust, densities, densities)
    assert told(trust, densities, -densities) > 0.999 > 0.05 > rising
    assert rising >= 0.0


def test_a_wrong_expert_loses_the_trust_and_a_right_one_gains_it() -> None:
    right = Prior({"lr": 1e-2, "dropout": 0.0, "activation": "gelu", "norm": True})
    wrong = Prior({"lr": 1e-5, "dropout": 0.9, "activation": "tanh", "norm": False})
    problem = toy_problem(2)
    trusts = {}
    for name, prior in (("right", right), ("wrong", wrong)):
        trusts[name] = []
        for seed in range(5):
            algorithm = PriMO(priors={"error": prior}, trust=EarnedTrust())
            algorithm.start(problem, seed=seed)
            drive(algorithm, evaluator(problem), epochs=2 * 27)
            density = algorithm._influence._encoded[0][1].log_density(algorithm.vectors(algorithm.trials))
            first = [trial.evaluations[0].losses[0] for trial in algorithm.trials]
            trusts[name].append(told(algorithm.trust, density, np.array(first)))
    assert min(trusts["right"]) > 0.9
    assert max(trusts["wrong"]) < 0.3


@pytest.mark.parametrize("initial", [-0.1, 1.1, float("nan")])
def test_what_is_no_probability_is_an_error(initial: float) -> None:
    with pytest.raises(InvalidArgumentError, match="initial"):
        EarnedTrust(initial)
