from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from ConfigSpace import (
    Categorical,
    ConfigurationSpace,
    EqualsCondition,
    Float,
    ForbiddenAndConjunction,
    ForbiddenEqualsClause,
    Integer,
)

from lightning_primo.errors import InvalidArgumentError, UnknownNameError
from lightning_primo.space import Encoding, completed
from lightning_primo.testing.problems import conditional_space


def make_space() -> ConfigurationSpace:
    """Two levels of conditions, and a combination that is forbidden."""
    space = ConfigurationSpace(seed=0)
    optimiser = Categorical("optimiser", ["adam", "sgd"], default="sgd")
    nesterov = Categorical("nesterov", [True, False], default=True)
    damping, width = Float("damping", (0.0, 1.0), default=0.25), Integer("width", (1, 8), default=4)
    space.add(optimiser, nesterov, damping, width)
    space.add(EqualsCondition(nesterov, optimiser, "sgd"), EqualsCondition(damping, nesterov, True))
    space.add(ForbiddenAndConjunction(ForbiddenEqualsClause(width, 8), ForbiddenEqualsClause(optimiser, "sgd")))
    return space


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, {"optimiser": "sgd", "width": 4, "nesterov": True, "damping": 0.25}),
        ({"optimiser": "adam", "width": 8}, {"optimiser": "adam", "width": 8}),
        ({"nesterov": False}, {"optimiser": "sgd", "width": 4, "nesterov": False}),
        ({"damping": 1}, {"optimiser": "sgd", "width": 4, "nesterov": True, "damping": 1.0}),
        ({"width": np.int64(2), "nesterov": False}, {"optimiser": "sgd", "width": 2, "nesterov": False}),
    ],
)
def test_what_is_left_out_has_its_default_where_it_is_active(given: Any, expected: Any) -> None:
    before = dict(given)
    assert completed(given, Encoding(make_space()), "'config'") == expected
    assert given == before


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"optimiser": "adam", "nesterov": True}, "'nesterov' is given but inactive"),
        ({"nesterov": False, "damping": 0.5}, "'damping' is given but inactive"),
        ({"width": 8}, "breaks the space's clause"),
        ({"width": 9}, r"entry 3 has 'width' = 9, .* an integer in \[1, 8\]"),
        ({"width": None}, "'width' = None"),
        ({"width": float("nan")}, "'width' = nan"),
        ([("width", 3)], "entry 3 must be a configuration"),
        ({3: 3}, "entry 3 must be a configuration"),
    ],
)
def test_what_is_not_in_the_space_is_refused(given: Any, message: str) -> None:
    with pytest.raises(InvalidArgumentError, match=message):
        completed(given, Encoding(make_space()), "entry 3")


def test_a_misspelt_hyperparameter_is_told_what_there_is() -> None:
    with pytest.raises(UnknownNameError, match=r"hyperparameter in entry 3.*'widht'.*width"):
        completed({"widht": 3}, Encoding(make_space()), "entry 3")


def test_configurations_of_the_space_are_complete() -> None:
    encoding = Encoding(conditional_space())
    for config in encoding.configs(encoding.sample(50, np.random.default_rng(0))):
        assert completed(config, encoding, "it") == config
