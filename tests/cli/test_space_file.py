from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from ConfigSpace import UniformFloatHyperparameter, UniformIntegerHyperparameter
from ConfigSpace.hyperparameters import OrdinalHyperparameter

from lightning_primo.cli.search_file.space_file import read_space
from lightning_primo.errors import InvalidArgumentError
from lightning_primo.space import Encoding


def test_entries() -> None:
    found = read_space(
        {
            "m.lr": {"float": [1e-5, 0.1], "log": True},
            "m.n": {"integer": [1, 4]},
            "m.width_2": {"integer": [8, 128], "log": True, "if": {"m.n": [2, 3, 4], "m.widths": [[1, 2]]}},
            "m.widths": [[1], [1, 2], None],
            "m.size": {"choice": ["small", "large"], "ordered": True},
            "m.batch": [32, 64],
            "m.bias": [True, False],
            "m.limit": [0.5, 1],
            "m.fixed": [7],
        }
    )
    space = found.space
    assert isinstance(space["m.lr"], UniformFloatHyperparameter)
    assert space["m.lr"].log
    assert (space["m.lr"].lower, space["m.lr"].upper) == (1e-5, 0.1)
    assert isinstance(space["m.n"], UniformIntegerHyperparameter)
    assert isinstance(space["m.size"], OrdinalHyperparameter)
    assert found.encoded == {"m.widths", "m.limit"}  # 1 and 1.0 are not the same to every parser
    assert [found.decode("m.widths", choice) for choice in space["m.widths"].choices] == [[1], [1, 2], None]
    assert space["m.fixed"].value == 7
    assert found.encode("m.widths", [1, 2]) == "[1, 2]"
    assert found.encode("m.lr", 0.1) == 0.1
    encoding = Encoding(space)
    for vector in encoding.sample(200, np.random.default_rng(0)):
        config = encoding.config(vector)
        assert ("m.width_2" in config) == (config["m.n"] >= 2 and config["m.widths"] == "[1, 2]")


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({}, "'space' must map keys of the config to a list of choices"),
        ({"a": 3}, "'space' has 'a': 3; expected a list of choices, {float"),
        ({"a": {"floot": [0, 1]}}, "'space' has 'a': .*expected a list"),
        ({"a": {"float": [0, 1], "integer": [0, 1]}}, "expected a list"),
        ({"a": {"float": [0, 1], "loog": True}}, "unknown option of 'a' in 'space': 'loog'; valid.*'log', 'if'"),
        ({"a": {"float": [0, 1], "log": "yes"}}, "'a' with 'log': 'yes'; expected true or false"),
        ({"a": {"float": [1, 0]}}, "the first must be below the second"),
        ({"a": {"float": [0, 1], "log": True}}, "both must be positive"),
        ({"a": {"float": ["x", 1]}}, r"\['x', 1\]; expected two numbers"),
        ({"a": {"integer": [1, 2.5]}}, "expected two whole numbers"),
        ({"a": []}, "expected a list of at least one"),
        ({"a": [1, 1]}, "the choice 1 more than once"),
        ({"a": [1, 2], "b": {"choice": [1, 2], "if": {"c": 1}}}, "unknown key in 'if' of 'b' .*'c'; valid.*'a'"),
        ({"a": [1, 2], "b": {"choice": [1, 2], "if": {"a": 3}}}, "'b' if 'a' is 3, which it never is; .*one of 1, 2"),
        ({"a": [1, 2], "b": {"choice": [1, 2], "if": 3}}, "'b' with 'if': 3"),
        (
            {"a": {"choice": [1, 2], "if": {"b": 1}}, "b": {"choice": [1, 2], "if": {"a": 1}}},
            "'a' with an 'if' that depends on itself",
        ),
    ],
)
def test_wrong_entries(entries: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidArgumentError, match=message):
        read_space(entries)
