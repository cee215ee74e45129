from __future__ import annotations

import pytest
import torch
from torch import nn

from lightning_primo.errors import NotMeasurableError
from lightning_primo.measure import parameter_count


def test_closed_form() -> None:
    module = nn.Sequential(nn.Conv2d(3, 8, 5), nn.BatchNorm2d(8), nn.Linear(7, 11, bias=False))
    assert parameter_count(module) == (3 * 8 * 25 + 8) + 2 * 8 + 7 * 11


def test_frozen_parameters_count_only_on_demand() -> None:
    module = nn.Sequential(nn.Linear(4, 5), nn.Linear(5, 2))
    module[0].requires_grad_(False)
    assert parameter_count(module) == 5 * 2 + 2
    assert parameter_count(module, trainable_only=False) == 4 * 5 + 5 + 5 * 2 + 2


def test_shared_parameters_count_once() -> None:
    embedding, head = nn.Embedding(10, 4), nn.Linear(4, 10, bias=False)
    head.weight = embedding.weight
    assert parameter_count(nn.Sequential(embedding, head)) == 40


def test_on_the_meta_device_and_without_parameters() -> None:
    with torch.device("meta"):
        assert parameter_count(nn.Linear(100_000, 100_000, bias=False)) == 10**10
    assert parameter_count(nn.ReLU()) == 0


def test_lazy_parameters_are_named_and_known_after_a_call() -> None:
    module = nn.Sequential(nn.LazyLinear(3))
    with pytest.raises(NotMeasurableError, match=r"'0\.weight', '0\.bias'"):
        parameter_count(module)
    module(torch.zeros(1, 4))
    assert parameter_count(module) == 4 * 3 + 3
