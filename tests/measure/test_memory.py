from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from lightning_primo.errors import InvalidArgumentError, NotMeasurableError
from lightning_primo.measure import peak_memory

FLOAT = 4


def test_linear() -> None:
    module = nn.Linear(5, 7)
    assert peak_memory(module, torch.rand(3, 5), device="cpu", batch_size=3) == FLOAT * (5 * 7 + 7 + 3 * 5 + 3 * 7)


def test_only_what_is_alive_at_once_counts() -> None:
    # While the second layer works its input is alive, but no longer when the third does; the module's input always is.
    module = nn.Sequential(nn.Linear(2, 100, bias=False), nn.Linear(100, 50, bias=False), nn.Linear(50, 1, bias=False))
    parameters = 2 * 100 + 100 * 50 + 50
    assert peak_memory(module, torch.rand(1, 2), device="cpu", batch_size=4) == FLOAT * (parameters + 4 * (2 + 150))


def test_in_place_work_and_views_cost_nothing() -> None:
    class Views(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return functional.relu(x.clone(), inplace=True).view(-1).flip(0)[:1]

    assert peak_memory(Views(), torch.rand(1, 10), device="cpu") == FLOAT * (10 + 10 + 10)


def test_training_of_a_linear_layer() -> None:
    # Alive at the end of the backward pass: parameters and their gradients, input, output, loss and its gradient.
    module = nn.Linear(50, 70, bias=False)
    expected = 2 * 50 * 70 + 3 * 50 + 3 * 70 + 1 + 1
    assert peak_memory(module, torch.rand(3, 50), device="cpu", batch_size=3, training=True) == FLOAT * expected


def test_training_keeps_the_activations() -> None:
    module = nn.Sequential(*[nn.Sequential(nn.Linear(8, 8), nn.Tanh()) for _ in range(6)])
    inputs = torch.rand(1, 8)
    growth = peak_memory(module, inputs, device="cpu", batch_size=200, training=True) - peak_memory(
        module, inputs, device="cpu", batch_size=100, training=True
    )
    assert growth >= FLOAT * 100 * 8 * 7  # the input and the six outputs of tanh, at least
    assert peak_memory(module, inputs, device="cpu", batch_size=200) < FLOAT * (200 * 8 * 4 + 1000)


def test_shared_parameters_count_once() -> None:
    layer = nn.Linear(10, 10, bias=False)
    assert peak_memory(nn.Sequential(layer, layer), torch.rand(1, 10), device="cpu") == FLOAT * (100 + 30)


@pytest.mark.parametrize("training", [False, True])
def test_deterministic_and_leaves_no_trace(training: bool) -> None:
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(), nn.Flatten(), nn.Linear(144, 2))
    module[1].eval()
    inputs = torch.rand(2, 3, 8, 8)
    state, random_state = copy.deepcopy(module.state_dict()), torch.get_rng_state()
    first = peak_memory(module, inputs, device="cpu", batch_size=4, training=training)
    assert first == peak_memory(module, inputs, device="cpu", batch_size=4, training=training)
    assert all(torch.equal(value, state[name]) for name, value in module.state_dict().items())
    assert all(parameter.grad is None for parameter in module.parameters())
    assert [module.training, module[1].training] == [True, False]
    assert torch.equal(torch.get_rng_state(), random_state)


def test_errors() -> None:
    with pytest.raises(InvalidArgumentError, match="'batch_size'"):
        peak_memory(nn.Linear(2, 2), torch.rand(1, 2), device="cpu", batch_size=0)
    with pytest.raises(NotMeasurableError, match="training=False"):
        peak_memory(nn.ReLU(), torch.rand(1, 2), device="cpu", training=True)
    with pytest.raises(NotMeasurableError, match="meta device"):
        peak_memory(nn.Linear(2, 2).to("meta"), torch.rand(1, 2), device="cpu")
    with pytest.raises(NotMeasurableError, match="lazy parameters"):
        peak_memory(nn.LazyLinear(2), torch.rand(1, 2), device="cpu")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_cuda_close_to_the_closed_form() -> None:
    module = nn.Linear(1024, 1024, bias=False)
    expected = FLOAT * (1024 * 1024 + 2 * 256 * 1024)
    assert peak_memory(module, torch.rand(1, 1024), device="cuda", batch_size=256) == pytest.approx(expected, rel=0.01)
