from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lightning_primo.nas.chain import chain
from lightning_primo.nas.morphisms import inherit
from lightning_primo.nas.pruning import kept_units, prune
from tests.models.test_conv_net import n_parameters
from tests.nas.networks import (
    CONFIG,
    SHAPE,
    NormFirst,
    Perceptron,
    conv_net,
    images,
    outputs,
    seeded,
    state,
    train,
    unchanged,
)

CHANGES: list[dict[str, Any]] = [
    {"n_filters_1": 3},
    {"n_filters_2": 5},
    {"n_neurons_1": 2},
    {"n_neurons_2": 1},
    {"n_filters_1": 4, "n_filters_2": 3, "n_neurons_1": 6, "n_neurons_2": 5},
]


def zeroed(kept: Tensor, n_units: int) -> Callable[[nn.Module, Any], Tensor]:
    """A hook of the next layer that sets all that it reads of other units to zero."""
    mask = torch.zeros(n_units)
    mask[kept] = 1

    def hook(module: nn.Module, inputs: Any) -> Tensor:
        x: Tensor = inputs[0]
        if x.ndim == 4:
            return x * mask[:, None, None]
        return x * mask.repeat_interleave(x.shape[1] // n_units)  # pixels of a flattened map are neighbours

    return hook


def outputs_with_only(module: nn.Module, kept: Sequence[Tensor], inputs: Tensor) -> Tensor:
    """Of the module with the outputs of all other units zero, after normalisation, activation and pooling."""
    links = chain(module)
    handles = [
        after.layer.register_forward_pre_hook(zeroed(units, link.units))
        for link, after, units in zip(links, links[1:], kept, strict=False)
    ]
    found = outputs(module, inputs)
    for handle in handles:
        handle.remove()
    return found


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("batch_norm", [False, True])
@pytest.mark.parametrize("global_average_pooling", [False, True])
def test_a_pruned_network(change: dict[str, Any], batch_norm: bool, global_average_pooling: bool) -> None:
    """It has its configuration's parameters, equals the parent without the units, and can be trained."""
    config = {**CONFIG, "batch_norm": batch_norm, "global_average_pooling": global_average_pooling}
    parent, child = train(conv_net(config), images()), conv_net({**config, **change})
    before = state(parent)
    kept = kept_units(child, parent, generator=seeded(3))
    assert [len(units) for units in kept] == [link.units for link in chain(child)[:-1]]
    prune(child, parent, generator=seeded(3))
    assert sum(p.numel() for p in child.parameters()) == n_parameters({**config, **change}, **SHAPE)
    expected = outputs_with_only(parent, kept, images(seed=1))
    torch.testing.assert_close(outputs(child, images(seed=1)), expected, rtol=0, atol=1e-5)
    assert unchanged(parent, before)
    child.train()(images()).square().mean().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in child.parameters())


def test_users_networks_with_batch_norm() -> None:
    inputs = torch.randn(32, 4, generator=seeded())
    pairs: list[tuple[Any, Any, Tensor]] = [
        (Perceptron((5, 3), norm_first), train(Perceptron((6, 6), norm_first), inputs), inputs)
        for norm_first in (True, False)
    ]
    pairs.append((NormFirst((3, 4)), train(NormFirst((4, 6)), images()), images(seed=1)))
    for child, parent, x in pairs:
        kept = kept_units(child, parent, generator=seeded())
        inherit(child, parent, "prune", seeded())
        torch.testing.assert_close(outputs(child, x), outputs_with_only(parent, kept, x), rtol=0, atol=1e-5)


def test_the_removed_units_are_random_ones_of_those_that_are_read_least() -> None:
    parent = train(conv_net({**CONFIG, "n_filters_2": 20, "n_neurons_1": 30}), images())
    child = conv_net({**CONFIG, "n_filters_2": 17, "n_neurons_1": 28})
    linear, after = parent.network.fully_connected[0].linear.weight, parent.network.fully_connected[1].linear.weight
    # Flattened, a filter is read through 2 x 2 positions.
    norms = [sum(linear[:, 4 * i + j].abs().sum().item() for j in range(4)) for i in range(20)]
    lowest = [set(sorted(range(20), key=norms.__getitem__)[:6]), set(after.abs().sum(0).argsort()[:4].tolist())]
    gone: list[set[int]] = [set(), set()]
    for seed in range(60):
        kept = kept_units(child, parent, generator=seeded(seed))
        for found, units, n in zip(gone, kept[1:3], (20, 30), strict=True):
            assert torch.equal(units, units.sort().values)
            found |= set(range(n)) - set(units.tolist())
        assert [len(units) for units in kept] == [6, 17, 28, 7]
    assert gone == lowest


def test_all_four_tensors_of_batch_norm_shrink() -> None:
    parent, child = train(conv_net(CONFIG), images()), conv_net({**CONFIG, "n_filters_1": 4})
    kept = kept_units(child, parent, generator=seeded())[0]
    prune(child, parent, generator=seeded())
    own, given = (chain(module)[0].norm for module in (child, parent))
    assert own is not None
    assert given is not None
    for name in ("weight", "bias", "running_mean", "running_var"):
        assert torch.equal(getattr(own, name), getattr(given, name)[kept])
    assert own.num_batches_tracked == given.num_batches_tracked == 6


def test_pruning_nothing_copies() -> None:
    parent, child = train(conv_net(CONFIG), images()), conv_net(CONFIG)
    prune(child, parent, generator=seeded())
    assert unchanged(child, state(parent))
