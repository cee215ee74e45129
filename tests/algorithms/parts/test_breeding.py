"""Tournaments and children: who becomes a parent how often, and what a child has of its parents."""

from __future__ import annotations

import numpy as np
import pytest
from ConfigSpace import Categorical, ConfigurationSpace, Float, Integer
from scipy.stats import binomtest

from lightning_primo.algorithms.parts.breeding import Breeding, Child
from lightning_primo.space import Encoding
from lightning_primo.testing.problems import conditional_space


def children(breeding: Breeding, encoding: Encoding, parents: list, n: int, seed: int = 0) -> list[Child]:
    rng = np.random.default_rng(seed)
    return list(breeding.children(encoding, encoding.vectors(parents), n, rng))


def plain_encoding(n: int = 6) -> Encoding:
    space = ConfigurationSpace(seed=0)
    space.add(*(Float(f"x{i}", (0.0, 1.0)) for i in range(n)))
    return Encoding(space)


@pytest.mark.parametrize("size", [1, 2, 5])
def test_the_best_of_a_tournament_has_the_child(size):
    """Of `n` the best wins with probability 1 - (1 - 1/n)^s, the last with (1/n)^s."""
    encoding = plain_encoding()
    parents = [{f"x{i}": place / 10 for i in range(6)} for place in range(4)]
    breeding = Breeding(tournament_size=size, crossover_probability=0.0, scale=0.1)
    bred = children(breeding, encoding, parents, 1000)
    counts = np.bincount([child.parent for child in bred], minlength=4)
    for place, count in enumerate(counts):
        expected = (1 - place / 4) ** size - (1 - (place + 1) / 4) ** size
        assert binomtest(int(count), len(bred), expected).pvalue > 1e-3
    assert {child.operation for child in bred} == {"mutation"}


def test_children_of_two_have_something_of_both_and_a_mutation():
    encoding = plain_encoding(12)
    parents = [{f"x{i}": value for i in range(12)} for value in (0.25, 0.75)]
    breeding = Breeding(tournament_size=2, crossover_probability=1.0, scale=1e-3)
    bred = children(breeding, encoding, parents, 200)
    assert {child.operation for child in bred} == {"recombination"}
    vectors = np.array([child.vector for child in bred])
    near = [np.abs(vectors - value) < 0.01 for value in (0.25, 0.75)]
    assert (near[0] | near[1]).all()
    assert 0.45 < near[0].mean() < 0.55  # the parents of a pair are different ones, each gives half
    mutated = ~np.isin(vectors, [0.25, 0.75])
    assert mutated.any(axis=1).all()
    assert 1.6 < mutated.sum(axis=1).mean() < 2.3  # one, and each other one with probability 1/12


def test_a_single_parent_has_children_alone():
    encoding = plain_encoding()
    breeding = Breeding(tournament_size=3, crossover_probability=1.0, scale=0.1)
    bred = children(breeding, encoding, [{f"x{i}": 0.5 for i in range(6)}], 16)
    assert {(child.parent, child.operation) for child in bred} == {(0, "mutation")}


def test_children_are_valid_and_as_many_as_were_wanted():
    encoding = Encoding(conditional_space())
    parents = encoding.configs(encoding.sample(5, np.random.default_rng(1)))
    breeding = Breeding(tournament_size=2, crossover_probability=0.5, scale=0.3)
    bred = children(breeding, encoding, parents, 96)
    assert len(bred) == 96
    for child in bred:
        encoding.key(encoding.config(child.vector))  # raises for what the space does not hold


def test_a_child_differs_where_it_can():
    space = ConfigurationSpace(seed=0)
    space.add(Integer("n", (3, 4)), Categorical("c", ["a"]))
    encoding = Encoding(space)
    bred = children(
        Breeding(tournament_size=2, crossover_probability=0.5, scale=0.3), encoding, [{"n": 3, "c": "a"}], 8
    )
    assert {encoding.config(child.vector)["n"] for child in bred} == {4}
