from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from ConfigSpace import Configuration, Constant

from lightning_primo.errors import InvalidArgumentError
from lightning_primo.space import Encoding
from models import conv_net_space, deeper_conv_nets


def test_the_papers_table() -> None:
    space: Any = conv_net_space()
    assert set(space) == {
        "n_conv", "n_filters_1", "n_filters_2", "n_filters_3", "kernel_size", "batch_norm", "global_average_pooling",
        "n_fc", "n_neurons_1", "n_neurons_2", "n_neurons_3", "lr", "batch_size",
    }  # fmt: skip
    ranges = {name: (space[name].lower, space[name].upper, space[name].log) for name in space if "n_" in name[:2]}
    assert ranges == {
        "n_conv": (1, 3, False),
        "n_fc": (1, 3, False),
        **{f"n_filters_{i}": (16, 1024, True) for i in (1, 2, 3)},
        **{f"n_neurons_{i}": (2, 512, True) for i in (1, 2, 3)},
    }
    assert (space["lr"].lower, space["lr"].upper, space["lr"].log) == (1e-5, 1.0, True)
    assert (space["batch_size"].lower, space["batch_size"].upper, space["batch_size"].log) == (1, 512, True)
    assert list(space["kernel_size"].sequence) == [3, 5, 7]


def test_widths_are_active_exactly_where_their_layer_exists() -> None:
    for config in conv_net_space(seed=0).sample_configuration(100):
        for depth, width in (("n_conv", "n_filters"), ("n_fc", "n_neurons")):
            active = {i for i in (1, 2, 3) if f"{width}_{i}" in config}
            assert active == set(range(1, config[depth] + 1))


def test_the_seed_determines_the_samples() -> None:
    first, again, other = (conv_net_space(seed=seed).sample_configuration(5) for seed in (3, 3, 4))
    assert first == again
    assert first != other


def test_caps_shrink_the_ranges_down_to_constants() -> None:
    space: Any = conv_net_space(
        max_conv=1, max_filters=16, max_fc=2, max_neurons=8, min_batch_size=32, max_batch_size=32, max_lr=1e-4
    )
    constants = {name: space[name].value for name in space if isinstance(space[name], Constant)}
    assert constants == {"n_conv": 1, "n_filters_1": 16, "batch_size": 32}
    assert "n_filters_2" not in space
    assert "n_neurons_3" not in space
    assert space["n_neurons_2"].upper == 8
    assert space["lr"].default_value == pytest.approx(1e-4)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"max_filters": 8}, "'max_filters' must be at least 16, the smallest value of 'n_filters_1', got 8"),
        ({"max_conv": 0}, "'max_conv' must be at least 1"),
        ({"min_batch_size": 0}, "'min_batch_size' must be at least 1, got 0"),
        ({"min_batch_size": 64, "max_batch_size": 32}, "'max_batch_size' must be at least 64"),
        ({"min_lr": 1.0, "max_lr": 0.1}, "'min_lr' and 'max_lr'"),
    ],
)
def test_empty_ranges_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        conv_net_space(**arguments)


def test_optional_pooling_is_always_sampled_true_and_may_be_false() -> None:
    space = conv_net_space(seed=0, optional_pooling=True)
    assert {f"pool_{i}" for i in (1, 2, 3)} == set(space) - set(conv_net_space())
    encoding = Encoding(space)
    sampled = [
        *map(dict, space.sample_configuration(200)),
        *encoding.configs(encoding.sample(200, np.random.default_rng(0))),
    ]
    for config in sampled:
        assert [config.get(f"pool_{i}") for i in (1, 2, 3)] == [True] * config["n_conv"] + [None] * (
            3 - config["n_conv"]
        )
    # No dimension more for the surrogates, but legal there and back.
    assert encoding.n_features == Encoding(conv_net_space()).n_features
    config = {**sampled[0], "pool_1": False}
    Configuration(space, values=config).check_valid_configuration()
    vector = encoding.vector(config)
    assert encoding.legal(vector[None]).all()
    assert encoding.config(vector) == config
    assert encoding.key(config) != encoding.key(sampled[0])


def test_deeper_networks_repeat_a_layer_that_passes_on_its_pooling() -> None:
    config = {"n_conv": 2, "n_filters_1": 16, "n_filters_2": 32, "n_fc": 1, "n_neurons_1": 8, "lr": 0.1}
    given = dict(config)
    first, second, linear = deeper_conv_nets(config)
    rest = {"n_fc": 1, "n_neurons_1": 8, "lr": 0.1, "n_conv": 3, "n_filters_1": 16, "n_filters_3": 32}
    assert first == {**rest, "n_filters_2": 16, "pool_1": False, "pool_2": True, "pool_3": True}
    assert second == {**rest, "n_filters_2": 32, "pool_1": True, "pool_2": False, "pool_3": True}
    assert linear == {**config, "n_fc": 2, "n_neurons_2": 8}
    assert config == given
    # After the first or second layer, both 16 wide, it is the same; or after the third, 32 wide.
    again = [[deeper[f"pool_{i}"] for i in (1, 2, 3, 4)] for deeper in deeper_conv_nets(first)[:2]]
    assert again == [[False, False, True, True], [False, True, False, True]]


def test_equal_deeper_networks_are_given_once() -> None:
    same = {"n_conv": 1, "n_filters_1": 16, "pool_1": False, "n_fc": 2, "n_neurons_1": 8, "n_neurons_2": 8}
    assert len(deeper_conv_nets(same)) == 2


def test_deeper_networks_are_legal_up_to_the_deepest() -> None:
    encoding = Encoding(conv_net_space(optional_pooling=True))
    for config in encoding.configs(encoding.sample(30, np.random.default_rng(1))):
        for deeper in deeper_conv_nets(config):
            if max(deeper["n_conv"], deeper["n_fc"]) > 3:
                with pytest.raises(InvalidArgumentError):
                    encoding.vector(deeper)
            else:
                assert encoding.config(encoding.vector(deeper)) == deeper
