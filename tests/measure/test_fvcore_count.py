from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from lightning_primo.errors import InvalidArgumentError, NotMeasurableError, UncountedOperatorError
from lightning_primo.measure.fvcore_count import fvcore_count, fvcore_flops
from lightning_primo.objectives import FLOPs

LAYERS: list[tuple[nn.Module, tuple[int, ...], int]] = [
    (nn.Linear(7, 11), (3, 7), 3 * 7 * 11),
    (nn.Conv2d(8, 16, 3, groups=4, dilation=2), (1, 8, 9, 9), 25 * 9 * 2 * 16),
    (nn.ConvTranspose2d(4, 6, 3, stride=2, groups=2), (1, 4, 5, 5), 25 * 9 * 2 * 6),
    (nn.BatchNorm2d(4), (1, 4, 5, 5), 2 * 100),  # a scale and a shift, which we do not count
]


@pytest.mark.parametrize(("module", "shape", "expected"), LAYERS, ids=lambda value: type(value).__name__)
def test_closed_form(module: nn.Module, shape: tuple[int, ...], expected: int) -> None:
    assert fvcore_flops(module, torch.rand(shape)) == expected
    assert FLOPs(counter="fvcore").measure(module, torch.rand(shape)) == expected / shape[0]
    assert module.training


class Two(nn.Module):
    """Two inputs, one of them below a name."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 4)

    def forward(self, a: Tensor, pair: dict[str, Tensor]) -> dict[str, Tensor]:
        return {"out": self.layer(a) + self.layer(pair["b"])}


def test_keyword_and_nested_inputs_and_submodules() -> None:
    count = fvcore_count(Two(), {"a": torch.rand(2, 3), "pair": {"b": torch.rand(1, 3)}})
    assert (count.total, count.by_submodule) == (36, {"": 36, "layer": 36})
    assert count.unsupported == {"": ("aten::add",)}
    assert count.uncounted == []


def test_what_fvcore_does_not_know_is_no_zero() -> None:
    lstm, x = nn.LSTM(10, 20, batch_first=True), torch.rand(1, 5, 10)
    with pytest.raises(UncountedOperatorError, match=r"LSTM are not known, fvcore has no formula for aten::lstm"):
        fvcore_flops(lstm, x)
    assert fvcore_flops(lstm, x, uncounted="ignore") == 0
    assert FLOPs().measure(lstm, x) == 12_000


def test_arguments_out_of_range() -> None:
    with pytest.raises(InvalidArgumentError, match="'counter' must be 'primo' or 'fvcore', got 'thop'"):
        FLOPs(counter="thop")  # type: ignore[arg-type]
    with pytest.raises(InvalidArgumentError, match="'uncounted' must be 'error' or 'ignore'"):
        FLOPs(uncounted="zero")  # type: ignore[arg-type]
    with torch.device("meta"):
        on_meta = nn.Linear(3, 4)
    with pytest.raises(NotMeasurableError, match="build it on the CPU"):
        fvcore_flops(on_meta, torch.rand(1, 3))
