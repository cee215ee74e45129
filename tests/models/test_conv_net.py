from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from models import ConvNet, conv_net_space

SPACE = conv_net_space()
SMALL_SPACE = conv_net_space(max_filters=32, max_neurons=64)
FLOWERS: dict[str, Any] = {"in_channels": 3, "image_size": 16, "n_classes": 17}


def sample(seed: int, small: bool = False) -> dict[str, Any]:
    space = SMALL_SPACE if small else SPACE
    space.seed(seed)
    return dict(space.sample_configuration())


def n_parameters(config: Mapping[str, Any], *, in_channels: int, image_size: int, n_classes: int) -> int:
    """Closed form: weights and biases layer by layer, and batch normalisation's two vectors."""
    total, width = 0, in_channels
    for i in range(1, config["n_conv"] + 1):
        filters = config[f"n_filters_{i}"]
        total += filters * (width * config["kernel_size"] ** 2 + 1 + 2 * bool(config["batch_norm"]))
        width = filters
    if not config["global_average_pooling"]:
        n_poolings = sum(config.get(f"pool_{i}", True) for i in range(1, config["n_conv"] + 1))
        width *= (image_size // 2**n_poolings) ** 2
    for i in range(1, config["n_fc"] + 1):
        neurons = config[f"n_neurons_{i}"]
        total += (width + 1) * neurons
        width = neurons
    return int(total + (width + 1) * n_classes)


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        # 16 * (3 * 9 + 1), 16 -> 4, 4 -> 17
        ({}, 448 + 68 + 85),
        # the flattened maps have 16 * 8 * 8 numbers
        ({"global_average_pooling": False}, 448 + 1025 * 4 + 85),
        ({"batch_norm": True, "kernel_size": 5}, 16 * (3 * 25 + 3) + 68 + 85),
        ({"n_conv": 2, "n_filters_2": 32, "n_fc": 2, "n_neurons_2": 2}, 448 + 32 * (16 * 9 + 1) + 33 * 4 + 10 + 51),
        ({"pool_1": False, "pool_2": False, "global_average_pooling": False}, 448 + 4097 * 4 + 85),
    ],
)
def test_parameter_counts_by_hand(overrides: dict[str, Any], expected: int) -> None:
    config = {
        "n_conv": 1,
        "n_filters_1": 16,
        "kernel_size": 3,
        "batch_norm": False,
        "global_average_pooling": True,
        "n_fc": 1,
        "n_neurons_1": 4,
    } | overrides
    network = ConvNet.from_config(config, **FLOWERS)
    assert sum(parameter.numel() for parameter in network.parameters()) == expected
    assert n_parameters(config, **FLOWERS) == expected


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**31 - 1), image_size=st.sampled_from([8, 11, 16]), in_channels=st.sampled_from([1, 3]))
def test_every_configuration_builds_on_meta_with_the_closed_forms_parameters(
    seed: int, image_size: int, in_channels: int
) -> None:
    config = sample(seed)
    images = {"in_channels": in_channels, "image_size": image_size, "n_classes": 10}
    with torch.device("meta"):
        network = ConvNet.from_config(config, **images)
        logits = network(torch.empty(2, in_channels, image_size, image_size))
    assert logits.shape == (2, 10)
    assert all(parameter.is_meta for parameter in network.parameters())
    assert sum(parameter.numel() for parameter in network.parameters()) == n_parameters(config, **images)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**31 - 1), image_size=st.sampled_from([8, 16]), batch_size=st.sampled_from([1, 3]))
def test_every_configuration_trains_on_any_batch_even_of_one_image(seed: int, image_size: int, batch_size: int) -> None:
    """At 8 x 8 pixels, the third convolution's maps have 2 x 2 positions, the fewest that batch norm meets."""
    torch.manual_seed(seed)
    network = ConvNet.from_config(sample(seed, small=True), in_channels=1, image_size=image_size, n_classes=10).train()
    logits = network(torch.randn(batch_size, 1, image_size, image_size))
    assert logits.shape == (batch_size, 10)
    assert torch.isfinite(logits).all()
    torch.autograd.backward(nn.functional.cross_entropy(logits, torch.zeros(batch_size, dtype=torch.long)))
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in network.parameters())


@pytest.mark.parametrize("batch_norm", [True, False])
def test_stages_have_named_parts_in_the_papers_order(batch_norm: bool) -> None:
    network: Any = ConvNet(**FLOWERS, filters=(16, 24), neurons=(8, 4), kernel_size=5, batch_norm=batch_norm)
    parts = ["conv", "relu", "batch_norm", "pool"] if batch_norm else ["conv", "relu", "pool"]
    for stage in network.convolutions:
        assert isinstance(stage, nn.Sequential)
        assert [name for name, _ in stage.named_children()] == parts
    assert [stage.conv.out_channels for stage in network.convolutions] == [16, 24]
    assert [stage.linear.out_features for stage in network.fully_connected] == [8, 4]
    assert network.convolutions[1].conv(torch.zeros(1, 16, 8, 8)).shape == (1, 24, 8, 8)


def test_images_need_not_be_square_and_hidden_layers_not_exist() -> None:
    network = ConvNet(
        in_channels=2, image_size=(9, 12), n_classes=3, filters=(4, 4), neurons=(), global_average_pooling=False
    )
    assert network.head.in_features == 4 * 2 * 3
    assert network(torch.zeros(5, 2, 9, 12)).shape == (5, 3)


@pytest.mark.parametrize("image_size", [8, 9])
def test_stages_without_pooling_keep_the_size_of_the_maps(image_size: int) -> None:
    network: Any = ConvNet(
        in_channels=1,
        image_size=image_size,
        n_classes=2,
        filters=(2, 3, 4, 5),
        neurons=(3,),
        global_average_pooling=False,
        pooling=(False, True, False, True),
    )
    assert [hasattr(stage, "pool") for stage in network.convolutions] == [False, True, False, True]
    maps, sizes = torch.zeros(1, 1, image_size, image_size), []
    for stage in network.convolutions:
        maps = stage(maps)
        sizes.append(maps.shape[-1])
    assert sizes == [image_size, 4, 4, 2]
    assert network.fully_connected[0].linear.in_features == 5 * 4
    assert network(torch.zeros(2, 1, image_size, image_size)).shape == (2, 2)


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**31 - 1))
def test_the_stages_one_after_the_other_are_the_network(seed: int) -> None:
    config = sample(seed, small=True)
    network = ConvNet.from_config(config, **FLOWERS).eval()
    stages = network.stages()
    widths = [config[stage.width] for stage in stages if stage.width is not None]
    assert widths == [s.layer.weight.shape[0] for s in stages[:-1]]
    assert [stage.width for stage in stages][-1:] == [None]
    images = torch.randn(2, 3, 16, 16)
    x = images
    for stage in stages:
        for part in (stage.layer, *stage.after):
            x = part(x)
    assert torch.equal(x, network(images))


def test_from_config_ignores_what_is_not_architecture_and_takes_the_constructors_defaults() -> None:
    config = {"n_conv": 1, "n_filters_1": 16, "n_fc": 1, "n_neurons_1": 4, "lr": 0.1, "batch_size": 8}
    unchanged = dict(config)
    network = ConvNet.from_config(config, **FLOWERS)
    assert config == unchanged
    assert str(network) == str(ConvNet(**FLOWERS, filters=(16,), neurons=(4,)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"filters": ()}, "'filters' must name at least one"),
        ({"filters": (16, 0)}, r"'filters' must be at least 1 in every layer, got \[16, 0\]"),
        ({"neurons": (0,)}, "'neurons' must be at least 1"),
        ({"kernel_size": 4}, "'kernel_size' must be odd"),
        ({"kernel_size": -1}, "'kernel_size' must be at least 1"),
        ({"n_classes": 0}, "'n_classes' must be at least 1"),
        ({"filters": (16, 16, 16), "image_size": 7}, "'image_size' must be at least 8 pixels for 3 conv.* got 7 x 7"),
        ({"image_size": (1, 16)}, "'image_size' must be at least 2 pixels for 1 conv.* got 1 x 16"),
        ({"pooling": (True, False)}, "'pooling' must have an entry for each of the 1 convolutions, got 2"),
        (
            {"filters": (4, 4, 4), "pooling": (True, True, False), "image_size": 3},
            "at least 4 pixels for 3 convolutions, 2 of them with pooling, .* got 3 x 3",
        ),
    ],
)
def test_impossible_networks_are_refused(change: dict[str, Any], message: str) -> None:
    arguments: dict[str, Any] = {**FLOWERS, "filters": (16,), "neurons": (4,)}
    with pytest.raises(ValueError, match=message):
        ConvNet(**(arguments | change))


def test_missing_widths_are_named() -> None:
    with pytest.raises(ValueError, match="'n_filters_2', which is missing"):
        ConvNet.from_config({"n_conv": 2, "n_filters_1": 16, "n_fc": 1, "n_neurons_1": 4}, **FLOWERS)
    with pytest.raises(ValueError, match="'config' must have 'n_conv'"):
        ConvNet.from_config({"n_fc": 1}, **FLOWERS)
