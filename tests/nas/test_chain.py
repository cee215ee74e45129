from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.utils.parametrizations import weight_norm

from lightning_primo.errors import InvalidArgumentError
from lightning_primo.nas.chain import chain
from lightning_primo.nas.morphable import Morphable, check_morphable
from tests.nas.networks import CONFIG, NormFirst, Part, Perceptron, Residual, conv_net, state, train, unchanged


class Given(nn.Module):
    """Has the stages that it is given."""

    def __init__(self, *parts: Any) -> None:
        super().__init__()
        self.parts = parts

    def stages(self) -> list[Any]:
        return list(self.parts)

    @staticmethod
    def deeper(config: Any) -> list[Any]:
        return []


HEAD = Part(nn.Linear(4, 2))
HIDDEN = nn.Linear(3, 4)


def test_a_network_of_the_recipes_and_users_own_are_chains() -> None:
    links = chain(conv_net(CONFIG))
    assert [link.width for link in links] == ["n_filters_1", "n_filters_2", "n_neurons_1", "n_neurons_2", None]
    assert [(link.inputs, link.units) for link in links] == [(2, 6), (6, 6), (24, 7), (7, 7), (7, 5)]
    assert all((link.norm is not None) == (i < 2) for i, link in enumerate(links))
    with torch.device("meta"):
        assert len(chain(NormFirst())) == 3
    for module in (conv_net(CONFIG), Perceptron(), NormFirst()):
        assert isinstance(module, Morphable)
        check_morphable(type(module))


def test_reading_a_chain_changes_nothing() -> None:
    module = Perceptron().train()
    module.blocks[0].eval()
    before, global_state = state(module), torch.get_rng_state()
    chain(module)
    assert unchanged(module, before)
    assert torch.equal(torch.get_rng_state(), global_state)
    assert (module.training, module.blocks[0].training, module.blocks[1].training) == (True, False, True)
    assert not module.out._forward_hooks


def test_what_is_missing_is_named_with_what_to_write() -> None:
    with pytest.raises(
        InvalidArgumentError, match=r"Linear cannot be .* lacks 'stages' and 'deeper'; write def stages"
    ):
        chain(nn.Linear(1, 1))
    with pytest.raises(InvalidArgumentError, match=r"stage 0 of Given.*has no 'after' and no 'width'"):
        chain(Given(type("Bare", (), {"layer": HIDDEN})()))


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ((Part(HIDDEN, (), "n"),), "must end with the head"),
        ((), "must end with the head.*got nothing"),
        ((Part(HIDDEN), HEAD), "must name another hyperparameter as 'width'"),
        ((Part(HIDDEN, (), "n"), Part(nn.Linear(4, 4), (), "n"), HEAD), r"got \['n', 'n'\]"),
        ((Part(nn.Linear(3, 5), (), "n"), HEAD), r"Linear\(4, 2\) cannot come after Linear\(3, 5\)"),
        ((Part(nn.Conv2d(3, 3, 1), (), "n"), HEAD), "cannot come after"),
        ((Part(nn.Linear(3, 4), (), "n"), Part(nn.Conv2d(4, 4, 1), (), "m"), HEAD), "cannot come after Linear"),
        ((Part(nn.Conv2d(4, 4, 1, groups=2), (), "n"), HEAD), "groups=2.*only groups=1"),
        ((Part(nn.Conv1d(4, 4, 1), (), "n"), HEAD), "must be an nn.Conv2d or nn.Linear .* got Conv1d"),
        ((Part(weight_norm(nn.Linear(4, 4)), (), "n"), HEAD), "got .*Linear with bias.*weight norms"),
        ((Part(HIDDEN, (nn.LayerNorm(4),), "n"), HEAD), "LayerNorm.*only nn.BatchNorm1d"),
        ((Part(HIDDEN, (nn.PReLU(),), "n"), HEAD), "PReLU"),
        ((Part(HIDDEN, (nn.BatchNorm1d(4), nn.BatchNorm1d(4)), "n"), HEAD), "at most one batch norm.*got 2"),
        ((Part(HIDDEN, (nn.BatchNorm1d(8),), "n"), HEAD), "8 features after a layer of 4 units"),
        ((Part(HIDDEN, (nn.BatchNorm1d(4, affine=False),), "n"), HEAD), "affine=True"),
        ((Part(HIDDEN, (nn.BatchNorm1d(4, track_running_stats=False),), "n"), HEAD), "track_running_stats=True"),
    ],
)
def test_stages_that_are_no_chain(parts: tuple[Any, ...], message: str) -> None:
    with pytest.raises(InvalidArgumentError, match=message):
        chain(Given(*parts))


def test_a_shared_layer_is_refused() -> None:
    square = nn.Linear(4, 4)
    with pytest.raises(InvalidArgumentError, match="the same layer twice"):
        chain(Given(Part(square, (), "a"), Part(square, (), "b"), HEAD))


@pytest.mark.parametrize("projection", [False, True])
def test_a_residual_network_computes_something_else_than_its_stages(projection: bool) -> None:
    with pytest.raises(
        InvalidArgumentError, match=r"'Residual.stages\(\)' is not what Residual.forward computes.*Resid"
    ):
        chain(Residual(projection=projection))


def test_a_wrong_order_in_after_is_noticed() -> None:
    class Wrong(Perceptron):
        def stages(self) -> list[Part]:
            *hidden, head = super().stages()
            return [*(part._replace(after=[*part.after[0].children()][::-1]) for part in hidden), head]

    with pytest.raises(InvalidArgumentError, match="compare the order of 'after' with forward"):
        chain(train(Wrong(), torch.randn(16, 4)))
