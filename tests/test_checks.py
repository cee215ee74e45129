"""What constructors refuse: other types, texts for numbers and truth values, numbers that no later step can hold."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lightning_primo import (
    MOASHA,
    BulkAndCut,
    Hyperband,
    Latency,
    Metric,
    ParameterCount,
    PriMO,
    Prior,
    RandomSearch,
    SuccessiveHalving,
)
from lightning_primo.callbacks import ReproducibleEpochs, TimeLimit
from lightning_primo.checks import check_number, check_path, shown
from lightning_primo.errors import InvalidArgumentError
from lightning_primo.problem import Fidelity
from lightning_primo.search.budget import Budget
from tests.search.tuned import make

REFUSED: list[tuple[Callable[[], Any], str]] = [
    (lambda: RandomSearch(sampler=3), r"'sampler' must be a Sampler such as SobolSampler\(\), got 3"),  # type: ignore[arg-type]
    (lambda: PriMO(initial_design=2), "'initial_design' must be an Algorithm such as RandomSearch"),  # type: ignore[arg-type]
    (lambda: PriMO(initial_design=MOASHA), r"'initial_design' is the class MOASHA; write MOASHA\("),  # type: ignore[arg-type]
    (lambda: PriMO(priors=0.5), "'priors' must be a dict from the names of objectives to priors, got 0.5"),  # type: ignore[arg-type]
    (lambda: PriMO(priors=np.array([1, 2])), "'priors' must be a dict from the names of objectives to priors"),  # type: ignore[arg-type]
    (lambda: PriMO(n_init="7"), "'n_init' must be a finite number .*'7'"),  # type: ignore[arg-type]
    (lambda: PriMO(epsilon=True), "'epsilon' must be a probability"),
    (lambda: PriMO(n_init=10**400), "'n_init' must be a finite number"),
    (lambda: MOASHA(eta=10**400), "'eta' must be a whole number of at least 2 and at most 1000000000"),
    (lambda: Hyperband(ranking="x"), "'ranking' must be a function such as"),  # type: ignore[arg-type]
    (lambda: SuccessiveHalving(n_configurations="9"), "'n_configurations' must be a whole number"),  # type: ignore[arg-type]
    (lambda: BulkAndCut(full_trainings=9, shares="abc"), "'shares' must be three numbers"),  # type: ignore[arg-type]
    (lambda: Prior({3: 1}), "'center' of a prior must map"),  # type: ignore[dict-item]
    (lambda: Metric("x", reference=10**400), "'reference' of objective 'x' must be a finite number"),
    (lambda: Metric("x", log="yes"), "'log' must be True or False"),  # type: ignore[arg-type]
    (lambda: Metric("\ud800"), "'name' of an objective"),
    (lambda: ParameterCount(trainable_only="no"), "'trainable_only' must be True or False"),  # type: ignore[arg-type]
    (lambda: Latency(device=3), "'device' must be a non-empty string"),  # type: ignore[arg-type]
    (lambda: Latency(dtype="float16"), "'dtype' must be a floating-point type"),  # type: ignore[arg-type]
    (lambda: TimeLimit("9"), "'seconds' must be positive, got '9'"),  # type: ignore[arg-type]
    (lambda: ReproducibleEpochs(-1), "'seed' must be a whole number of at least 0"),
    (lambda: Budget(epochs=10**400, fidelity=Fidelity.of_epochs((1, 3))), "'epochs' must be a positive number"),
]


@pytest.mark.parametrize(("build", "message"), REFUSED, ids=[message[:20] for _, message in REFUSED])
def test_constructors(build: Callable[[], Any], message: str) -> None:
    with pytest.raises(InvalidArgumentError, match=message):
        build()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("keep_all_checkpoints", "false"),
        ("retry_out_of_memory", "no"),
        ("remeasure", 10**30),
        ("seed", 10**5000),
        ("trial_timeout", 10**400),
        ("workers", 10**400),
        ("epochs", (1, 10**400)),
        ("directory", "a\0b"),
        ("directory", "~nosuchuser/x"),
        ("directory", "a" * 5000),
        ("directory", "\ud800"),
    ],
    ids=lambda value: value if isinstance(value, str) and value.isidentifier() and len(value) < 99 else "",
)
def test_searches(tmp_path: Path, name: str, value: Any) -> None:
    with pytest.raises(InvalidArgumentError, match=f"'{name}'"):
        make(**{"directory": tmp_path / "run", name: value})


def test_numbers_come_back_as_they_were() -> None:
    assert repr(check_number("x", 7)) == "7"
    assert repr(check_number("x", 7.0)) == "7.0"
    assert check_path("x", "~", example="runs") == Path.home()


def test_long_values_are_cut_in_messages() -> None:
    assert len(shown("a" * 10_000)) < 250
    assert shown(10**5000) == "int without a repr"
    assert shown(torch.float16) == "torch.float16"
