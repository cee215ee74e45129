from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lightning_primo.errors import InvalidArgumentError, UnknownNameError
from lightning_primo.nas.morphisms import deepen, inherit, widen
from models import ConvNetClassifier
from tests.nas.networks import (
    CONFIG,
    NormFirst,
    Perceptron,
    Residual,
    conv_net,
    images,
    outputs,
    seeded,
    state,
    train,
    unchanged,
)

ARCHITECTURES = [
    {"batch_norm": norm, "global_average_pooling": pool} for norm in (False, True) for pool in (False, True)
]
Operation = Callable[..., None]


def assert_same_function(child: nn.Module, parent: nn.Module, inputs: Tensor, operation: Operation) -> None:
    """Exactly so without noise, about so with it; the parent and the global generator are untouched."""
    parent.train()
    before, global_state, expected = state(parent), torch.get_rng_state(), outputs(parent, inputs)
    fresh = copy.deepcopy(child)
    operation(child, parent, noise=0.0, generator=seeded())
    torch.testing.assert_close(outputs(child, inputs), expected, rtol=0, atol=1e-5)
    operation(fresh, parent, generator=seeded())
    difference = (outputs(fresh, inputs) - expected).abs().max()
    assert 0 < difference < 0.02 * expected.abs().max()
    assert unchanged(parent, before)
    assert all(part.training for part in parent.modules())
    assert torch.equal(torch.get_rng_state(), global_state)


def deeper(architecture: dict[str, Any]) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Parents and children, every place, of two generations."""
    parent = {**CONFIG, **architecture}
    for child in ConvNetClassifier.deeper(parent):
        yield parent, child
    yield from ((child, grandchild) for grandchild in ConvNetClassifier.deeper(child))


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_deeper_network_computes_the_same_at_every_place(architecture: dict[str, Any]) -> None:
    pairs = list(deeper(architecture))
    assert len(pairs) == 3 + 3  # the two linear layers are as wide, so that their places give the same configuration
    for parent_config, child_config in pairs:
        parent = train(conv_net(parent_config), images())
        assert_same_function(conv_net(child_config), parent, images(seed=1), deepen)


def test_a_deeper_network_of_different_widths_and_a_larger_kernel() -> None:
    config = {**CONFIG, "n_filters_2": 5, "n_neurons_1": 9, "kernel_size": 5}
    parent = train(conv_net(config), images())
    children = ConvNetClassifier.deeper(config)
    assert len(children) == 4
    for child in children:
        assert_same_function(conv_net(child), parent, images(seed=1), deepen)


@pytest.mark.parametrize("norm_first", [True, False])
def test_a_users_perceptron_with_batch_norm(norm_first: bool) -> None:
    inputs = torch.randn(32, 4, generator=seeded())
    parent = train(Perceptron(norm_first=norm_first), inputs)
    parent.shift += 0.25
    for widths in ((6, 6, 6), (6, 9), (8, 12)):
        child = Perceptron(widths, norm_first)
        assert_same_function(child, parent, inputs, deepen if len(widths) == 3 else widen)
        assert torch.equal(child.scale, parent.scale)
        assert (child.shift == 0.25).all()


def test_a_users_convolutions_with_batch_norm_before_the_relu() -> None:
    parent = train(NormFirst((4, 6)), images())
    for widths, pooling in (((4, 4, 6), (False, True, True)), ((4, 6, 6), (True, False, True))):
        assert_same_function(NormFirst(widths, pooling), parent, images(seed=1), deepen)
    assert_same_function(NormFirst((7, 13)), parent, images(seed=1), widen)


@pytest.mark.parametrize("norm_first", [False, True])
def test_a_deeper_network_is_nearly_the_same_in_train_mode(norm_first: bool) -> None:
    """Where the running statistics are those of the batch."""
    config = {**CONFIG, "global_average_pooling": True}
    parent = train(NormFirst((4, 6)) if norm_first else conv_net(config), images(256))
    for part in parent.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.momentum = 1.0
    child_config = ConvNetClassifier.deeper(config)[1]
    child: nn.Module = NormFirst((4, 6, 6), (True, False, True)) if norm_first else conv_net(child_config)
    with torch.no_grad():
        expected = parent(images(256))
        deepen(child, parent, noise=0.0, generator=seeded())
        found = child.train()(images(256))
    # Before the ReLU the statistics are a guess, from those of normally distributed numbers.
    assert (found - expected).abs().mean() < (0.15 if norm_first else 0.003) * expected.std()


def test_the_guess_of_rectified_statistics_is_that_of_normal_numbers() -> None:
    parent, child = NormFirst((3, 3)), NormFirst((3, 3, 3), (True, False, True))
    mean, deviation = torch.tensor([0.5, -1.0, 0.0]), torch.tensor([-2.0, 0.7, 1e-20])
    parent.norms[1].load_state_dict(parent.norms[1].state_dict() | {"bias": mean, "weight": deviation})
    deepen(child, parent, generator=seeded())
    sample = (mean + deviation * torch.randn(1_000_000, 3, generator=seeded())).relu()
    new: Any = child.norms[2]
    torch.testing.assert_close(new.running_mean, sample.mean(0), rtol=0, atol=0.005)
    torch.testing.assert_close(new.running_var, sample.var(0), rtol=0, atol=0.01)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize(
    "wider",
    [
        {"n_filters_1": 11},
        {"n_filters_2": 7},
        {"n_neurons_1": 20},
        {"n_neurons_2": 8},
        {"n_filters_1": 13, "n_filters_2": 9, "n_neurons_1": 8, "n_neurons_2": 15},
    ],
)
def test_a_wider_network_computes_the_same(architecture: dict[str, Any], wider: dict[str, int]) -> None:
    config = {**CONFIG, **architecture}
    parent = train(conv_net(config), images())
    assert_same_function(conv_net({**config, **wider}), parent, images(seed=1), widen)


def test_copies_share_what_the_next_layer_read() -> None:
    parent, child = Perceptron((1, 2)), Perceptron((4, 2))
    widen(child, parent, noise=0.0, generator=seeded())
    parts, given = child.stages(), parent.stages()
    assert torch.equal(parts[0].layer.weight, given[0].layer.weight.expand(4, -1))
    torch.testing.assert_close(parts[1].layer.weight, given[1].layer.weight.expand(-1, 4) / 4)
    noisy = Perceptron((4, 2))
    widen(noisy, parent, noise=0.01, generator=seeded())
    rows = noisy.stages()[0].layer.weight
    assert torch.equal(rows[:1], given[0].layer.weight)
    assert len(rows.unique(dim=0)) == 4
    relative = (rows[1:] - rows[:1]).norm(dim=1) / rows[0].norm()
    assert ((relative > 0.001) & (relative < 0.03)).all()


def test_a_morphism_to_an_equal_network_copies_it() -> None:
    parent, child = train(conv_net(CONFIG), images()), conv_net(CONFIG)
    widen(child, parent, generator=seeded())
    assert unchanged(child, state(parent))


def test_a_child_can_be_trained_and_its_parent_stays() -> None:
    parent = train(conv_net(CONFIG), images())
    before = state(parent)
    for operation, config in (("deepen", ConvNetClassifier.deeper(CONFIG)[0]), ("widen", {**CONFIG, "n_filters_1": 9})):
        child = conv_net(config)
        inherit(child, parent, operation, seeded())
        inherited = state(child)
        train(child, images())
        assert all(not torch.equal(inherited[name], parameter) for name, parameter in child.named_parameters())
    assert unchanged(parent, before)


def test_the_generator_determines_the_child() -> None:
    parent = train(conv_net(CONFIG), images())
    config = {**CONFIG, "n_neurons_1": 12}
    children = [conv_net(config) for _ in range(3)]
    for child, seed in zip(children, (1, 1, 2), strict=True):
        inherit(child, parent, "widen", seeded(seed))
    assert unchanged(children[0], state(children[1]))
    assert not unchanged(children[0], state(children[2]))


@pytest.mark.parametrize(
    ("operation", "change", "message"),
    [
        ("deepen", {}, "one stage more than its parent"),
        ("deepen", {"n_conv": 3, "n_filters_3": 6}, "takes over the pooling"),  # a stage more that pools
        ("deepen", {"n_fc": 3, "n_neurons_3": 8}, "as wide as the one before"),
        ("widen", {"n_filters_2": 5}, r"no stage narrower than its parent's, got 'n_filters_2' \(6 -> 5\)"),
        ("widen", {"kernel_size": 5}, "differs from its parent only in the widths"),
        ("widen", {"global_average_pooling": True}, "differs from its parent only in the widths"),
        ("widen", {"n_fc": 1}, "differs from its parent only in the widths"),
        ("prune", {"n_neurons_1": 8}, r"no stage wider than its parent's, got 'n_neurons_1' \(7 -> 8\)"),
        ("prune", {"batch_norm": False}, "differs from its parent only in the widths"),
    ],
)
def test_children_that_do_not_fit_stay_as_they_are(operation: str, change: dict[str, Any], message: str) -> None:
    child = conv_net({**CONFIG, **change})
    before = state(child)
    with pytest.raises(InvalidArgumentError, match=message):
        inherit(child, conv_net(CONFIG), operation, seeded())
    assert unchanged(child, before)


def test_unknown_operations_and_noise_are_refused() -> None:
    with pytest.raises(UnknownNameError, match="'rotate'; valid choices: 'deepen', 'widen', 'prune'"):
        inherit(conv_net(CONFIG), conv_net(CONFIG), "rotate", seeded())
    for operation in (deepen, widen):
        with pytest.raises(InvalidArgumentError, match="'noise' must be finite and not negative"):
            operation(conv_net(CONFIG), conv_net(CONFIG), noise=-1.0, generator=seeded())


def test_layers_beside_the_chain_must_not_change() -> None:
    child, parent = (Residual(width, projection=True, example=False) for width in (6, 4))
    with pytest.raises(InvalidArgumentError, match=r"'around.bias' is in none of Residual.stages\(\).*\(6,\).*\(4,\)"):
        widen(child, parent, generator=seeded())
