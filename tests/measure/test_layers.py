from __future__ import annotations

import json

import pytest
import torch
from torch import Tensor, nn

from lightning_primo.errors import InvalidArgumentError
from lightning_primo.measure import profile

CONVOLUTION, RECURRENT, LINEAR = 36 * 27 * 8, 5 * 4 * 20 * 30, 8 * 4


class Mixed(nn.Module):
    """A convolution with its normalisation, a recurrent layer, a linear one that runs twice, an unused one."""

    def __init__(self) -> None:
        super().__init__()
        self.image = nn.Sequential(nn.Conv2d(3, 8, 3, bias=False), nn.BatchNorm2d(8))
        self.sequence = nn.LSTM(10, 20, batch_first=True, bias=False)
        self.head = nn.Linear(8, 4, bias=False)
        self.unused = nn.Linear(2, 2)

    def forward(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        hidden = self.image(x).mean((2, 3))
        return self.head(hidden) + self.head(-hidden), self.sequence(y)[0]


INPUTS = (torch.rand(1, 3, 8, 8), torch.rand(1, 5, 10))


def test_counts_by_submodule_beside_those_of_fvcore() -> None:
    module = Mixed()
    found = profile(module, INPUTS, device="cpu", runs=2)
    assert [layer.name for layer in found.layers] == [
        *("", "sequence", "image", "image.0", "head", "image.1", "unused")
    ]
    layers = {layer.name: layer for layer in found.layers}
    assert {name: layer.flops for name, layer in layers.items() if layer.flops} == {
        "": CONVOLUTION + RECURRENT + 2 * LINEAR,
        "sequence": RECURRENT,
        "image": CONVOLUTION,
        "image.0": CONVOLUTION,
        "head": 2 * LINEAR,
    }
    assert (layers["sequence"].fvcore, layers["sequence"].unsupported) == (0, ("aten::lstm",))
    assert layers["sequence"].difference == RECURRENT
    assert layers["image.1"].difference == -2 * 8 * 36
    assert layers["image.0"].difference == layers["head"].difference == 0
    assert (layers["head"].calls, layers["head"].activations, layers["unused"].calls) == (2, 8, 0)
    assert layers["image"].parameters == 27 * 8 + 16
    assert layers[""].latency_share == 1.0
    assert 0 < layers["image.0"].latency_share < layers["image"].latency_share < 1
    assert not any(child._forward_hooks or child._forward_pre_hooks for child in module.modules())
    assert module.training


def test_as_text_and_as_json() -> None:
    found = profile(Mixed(), INPUTS, device="cpu", runs=1)
    lines = str(found).splitlines()
    assert lines[0].split()[:4] == ["layer", "parameters", "multiply-adds", "fvcore"]
    assert lines[2].split()[:6] == ["sequence", "LSTM", "2,400", "12,000", "0", "+12,000"]
    assert lines[-1] == "not counted by fvcore: aten::add, aten::lstm, aten::mean, aten::neg"
    values = json.loads(json.dumps(found.to_dict()))
    assert values["layers"][1]["difference"] == 12_000
    assert values["fvcore_failure"] is None


class Transform(nn.Module):
    """Something that has no formula, within one submodule."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.fft.rfft(x).abs()


def test_what_is_not_counted_is_named_where_it_is() -> None:
    found = profile(
        nn.Sequential(nn.Linear(4, 4), Transform()), torch.rand(2, 4), device="cpu", batch_size=None, runs=1
    )
    layers = {layer.name: layer for layer in found.layers}
    assert {name for name, layer in layers.items() if layer.uncounted} == {"", "1"}
    assert layers[""].flops == 32
    assert "* without aten._fft_r2c, which have no formula" in found.lines()


class Branching(nn.Module):
    """A tracer cannot take it."""

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        if torch.jit.is_tracing():
            raise RuntimeError("no tracing")
        return {"y": x @ x}


def test_without_a_trace_there_is_no_count_of_fvcore() -> None:
    found = profile(Branching(), torch.rand(3, 3), device="cpu", batch_size=None, runs=1)
    assert (found.layers[0].flops, found.layers[0].fvcore, found.layers[0].activations) == (27, None, 9)
    assert "no tracing" in (found.fvcore_failure or "")


def test_arguments_out_of_range() -> None:
    with pytest.raises(InvalidArgumentError, match="'runs'"):
        profile(nn.Linear(2, 2), torch.rand(1, 2), runs=0)
