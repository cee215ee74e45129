import math

import numpy as np
import pytest
from ConfigSpace import Categorical, ConfigurationSpace, Constant, Float, Integer

from lightning_primo.algorithms.parts.offspring import lowest_width, pareto_epsilon_greedy, pruned_widths
from lightning_primo.errors import InvalidArgumentError
from lightning_primo.problem.architecture import Architecture, Layer, LayerKind

LOSSES = np.array([[2.0, 2.0], [0.0, 1.0], [3.0, 3.0], [1.0, 0.0], [4.0, 4.0]])  # fronts {1, 3}, {0}, {2}, {4}
SPACE = ConfigurationSpace(seed=0)
SPACE.add(
    *(Integer(f"w{i}", (2, 1024), log=True) for i in range(4)), Constant("fixed", 100), Categorical("choice", [8, 16])
)


def network(*layers: tuple[str, int, LayerKind]) -> Architecture:
    return Architecture(
        layers=tuple(Layer(width=width, units=units, kind=kind) for width, units, kind in layers), n_parameters=1
    )


def frequencies(n: int = 4_000, **options):
    rng = np.random.default_rng(0)
    rows = [pareto_epsilon_greedy(LOSSES, 0.85, rng, **options) for _ in range(n)]
    return np.bincount(rows, minlength=len(LOSSES)) / n


def assert_close(frequency, probability, n: int = 4_000):
    probability = np.array(probability)
    assert (np.abs(frequency - probability) <= 4 * np.sqrt(probability * (1 - probability) / n)).all()


def test_walks_the_fronts_and_always_stops_at_the_last():
    stops = [0.85, 0.15 * 0.85, 0.15**2 * 0.85, 0.15**3]
    assert_close(frequencies(), [stops[1], stops[0] / 2, stops[2], stops[0] / 2, stops[3]])


def test_weights_decide_inside_a_front_alone():
    frequency = frequencies(weights=np.array([0.0, 1.0, 1e6, 3.0, 0.0]))
    assert_close(frequency, [0.15 * 0.85, 0.85 / 4, 0.15**2 * 0.85, 0.85 * 3 / 4, 0.15**3])


def test_a_single_row_and_a_certain_stop():
    rng = np.random.default_rng(0)
    assert pareto_epsilon_greedy(LOSSES[:1], 0.5, rng) == 0
    assert pareto_epsilon_greedy(LOSSES[:1], 0.5, rng, weights=np.zeros(1)) == 0
    assert {pareto_epsilon_greedy(LOSSES, 1.0, rng) for _ in range(100)} == {1, 3}


def test_shares_are_triangular_around_those_of_the_layers_kind():
    chain = network(
        ("w0", 1000, LayerKind.CONVOLUTION), ("w1", 1000, LayerKind.LINEAR), ("w2", 1000, LayerKind.CONVOLUTION)
    )
    rng = np.random.default_rng(0)
    drawn = [pruned_widths(chain, SPACE, rng) for _ in range(4000)]
    for width, centre in (("w0", 0.1), ("w1", 0.075), ("w2", 0.05)):
        shares = np.array([1 - widths[width] / 1000 for widths in drawn])
        deviation = centre / math.sqrt(6)  # of a triangular distribution on [0, 2 c] around c
        assert abs(shares.mean() - centre) < 4 * deviation / math.sqrt(4000)
        assert shares.std() == pytest.approx(deviation, rel=0.05)
        assert shares.min() >= 0
        assert shares.max() <= 2 * centre


def test_at_least_one_unit_goes_and_none_below_a_bound():
    rng = np.random.default_rng(0)
    small = network(("w0", 3, LayerKind.LINEAR), ("w1", 2, LayerKind.LINEAR), ("w2", 4, LayerKind.LINEAR))
    drawn = {tuple(pruned_widths(small, SPACE, rng).values()) for _ in range(200)}
    assert drawn == {(2, 2, 4), (3, 2, 3)}
    for _ in range(200):
        widths = pruned_widths(network(("w0", 2, LayerKind.LINEAR), ("w1", 100, LayerKind.CONVOLUTION)), SPACE, rng)
        assert widths["w0"] == 2
        assert 90 <= widths["w1"] < 100


@pytest.mark.parametrize(
    "chain", [network(), network(("w0", 2, LayerKind.LINEAR)), network(("fixed", 100, LayerKind.CONVOLUTION))]
)
def test_nothing_to_prune(chain):
    assert pruned_widths(chain, SPACE, np.random.default_rng(0)) == {}


def test_a_width_that_layers_share_is_pruned_once():
    chain = network(*[("w0", 200, LayerKind.CONVOLUTION)] * 3)
    rng = np.random.default_rng(0)
    assert all(180 <= pruned_widths(chain, SPACE, rng)["w0"] < 200 for _ in range(100))


def test_widths_must_be_integers_of_the_space():
    space = ConfigurationSpace(seed=0)
    space.add(Float("float", (1.0, 2.0)), Constant("text", "8"), Integer("zero", (0, 8)))
    assert lowest_width(SPACE, "w0") == 2
    assert lowest_width(SPACE, "fixed") == 100
    for name in ("float", "text", "missing"):
        with pytest.raises(InvalidArgumentError, match=rf"'{name}'.*integer.*Integer\('{name}'"):
            lowest_width(space, name)
    with pytest.raises(InvalidArgumentError, match="'choice'"):
        pruned_widths(network(("choice", 8, LayerKind.LINEAR)), SPACE, np.random.default_rng(0))
    # a layer without a unit would be no layer
    assert pruned_widths(network(("zero", 1, LayerKind.LINEAR)), space, np.random.default_rng(0)) == {}
