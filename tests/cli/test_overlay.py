from __future__ import annotations

import copy
from typing import Any

import pytest

from lightning_primo.cli.project.overlay import MISSING, leaves, look_up, overlay, same_class
from lightning_primo.errors import InvalidArgumentError

BASE: dict[str, Any] = {
    "model": {"class_path": "torch.nn.Linear", "init_args": {"in_features": 3, "bias": True}},
    "trainer": {"callbacks": [{"class_path": "A", "init_args": {"patience": 3}}, "B"], "precision": None},
}


@pytest.mark.parametrize(
    ("values", "key", "expected"),
    [
        ({"model.init_args.in_features": 5}, "model.init_args", {"in_features": 5, "bias": True}),
        ({"model.class_path": "torch.nn.Conv2d"}, "model", {"class_path": "torch.nn.Conv2d", "init_args": {}}),
        ({"model.class_path": "torch.nn.Linear"}, "model.init_args.in_features", 3),
        ({"model.class_path": "torch.nn.modules.linear.Linear"}, "model.init_args.in_features", 3),
        ({"model.class_path": "Linear"}, "model.init_args.in_features", 3),
        # the class comes before its arguments, whatever the order
        ({"model.init_args.n": 1, "model.class_path": "C"}, "model", {"class_path": "C", "init_args": {"n": 1}}),
        ({"model.init_args.n.k": 1}, "model.init_args.n", {"k": 1}),
        ({"optimizer.init_args.lr": 0.1}, "optimizer", {"init_args": {"lr": 0.1}}),
        ({"trainer.callbacks.0.init_args.patience": 9}, "trainer.callbacks.0.init_args.patience", 9),
        ({"trainer.callbacks.1": "C"}, "trainer.callbacks.1", "C"),
        ({"model": {"class_path": "D"}, "model.init_args.n": 2}, "model", {"class_path": "D", "init_args": {"n": 2}}),
        ({}, "model", BASE["model"]),
    ],
)
def test_values_are_laid_over(values: dict[str, Any], key: str, expected: Any) -> None:
    before = copy.deepcopy(BASE)
    assert look_up(overlay(BASE, values), key) == expected
    assert before == BASE


def test_a_position_that_a_list_does_not_have() -> None:
    with pytest.raises(InvalidArgumentError, match=r"at '2'; valid choices: 0 \(A\), 1 \('B'\)"):
        overlay(BASE, {"trainer.callbacks.2.init_args.patience": 9})


def test_keys() -> None:
    assert list(leaves(BASE)) == [
        "model.class_path",
        "model.init_args.in_features",
        "model.init_args.bias",
        "trainer.callbacks.0.class_path",
        "trainer.callbacks.0.init_args.patience",
        "trainer.callbacks.1",
        "trainer.precision",
    ]
    assert look_up(BASE, "trainer.precision") is None
    assert look_up(BASE, "trainer.nope") is MISSING
    assert look_up(BASE, "trainer.callbacks.7") is MISSING
    assert look_up(BASE, "") is BASE


def test_same_class() -> None:
    assert same_class("torch.optim.Adam", "torch.optim.adam.Adam")
    assert not same_class("torch.optim.Adam", "torch.optim.SGD")
    assert not same_class("nowhere.Adam", "torch.optim.Adam")
    assert not same_class(None, "Adam")
