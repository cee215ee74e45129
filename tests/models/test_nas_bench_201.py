from __future__ import annotations

import os
from math import prod
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from lightning_primo.measure import count_flops, parameter_count
from models.nas_bench_201 import (
    EDGE_NAMES,
    EDGES,
    OPERATIONS,
    NASBench201Classifier,
    NASBench201Network,
    nas_bench_201_space,
)

TABLE = os.environ.get("NASBENCH201_TABLE")
IMAGE = torch.empty(1, 3, 32, 32, device="meta")
HEAD_BIAS = 10
"""The table counts the additions of the last layer's bias, one per class; `count_flops` counts no bias."""

# Rows of the benchmark: the cell, its parameters, and its multiply-adds in millions with the table's five decimals.
ROWS = [
    ((4, 2, 1, 2, 1, 1), 129_306, 15.64737),
    ((3, 3, 4, 1, 3, 1), 802_426, 113.95137),
    ((4, 1, 0, 0, 0, 1), 73_306, 7.78305),
    ((0, 1, 4, 1, 3, 3), 559_386, 78.56193),
    ((2, 0, 2, 0, 2, 2), 185_306, 23.51169),
    ((3, 3, 3, 3, 3, 3), 1_531_546, 220.11969),
]


def on_meta(cell: Any) -> NASBench201Network:
    with torch.device("meta"):
        return NASBench201Network([OPERATIONS[i] for i in cell])


def configuration(*operations: str) -> dict[str, Any]:
    return dict(zip(EDGE_NAMES, operations, strict=True))


def cell_of(*operations: str, channels: int = 2) -> nn.Module:
    network: Any = NASBench201Network(operations, channels=channels, cells_per_stage=1)
    cell: nn.Module = network.features.stage_1[0]
    return cell


def flops_with_biases(network: nn.Module, images: torch.Tensor) -> int:
    """The benchmark's convention, layer by layer: convolutions and linear layers with their biases, nothing else."""
    total = 0

    def add(module: nn.Module, inputs: Any, output: torch.Tensor) -> None:
        nonlocal total
        assert isinstance(module, (nn.Conv2d, nn.Linear))
        total += prod(output.shape[1:]) * (prod(module.weight.shape[1:]) + (module.bias is not None))

    handles = [m.register_forward_hook(add) for m in network.modules() if isinstance(m, (nn.Conv2d, nn.Linear))]
    network.eval()(images)
    for handle in handles:
        handle.remove()
    return total


@pytest.mark.parametrize(("cell", "parameters", "mega_flops"), ROWS)
def test_parameters_and_flops_are_the_benchmarks(cell: tuple[int, ...], parameters: int, mega_flops: float) -> None:
    network = on_meta(cell)
    assert parameter_count(network) == parameters
    assert flops_with_biases(network, IMAGE) == round(mega_flops * 1e6)
    assert count_flops(network, IMAGE) == round(mega_flops * 1e6) - HEAD_BIAS


@pytest.mark.skipif(TABLE is None, reason="NASBENCH201_TABLE does not name the table's .npz file")
def test_parameters_and_flops_are_the_tables() -> None:
    with np.load(str(TABLE)) as table:
        cells, parameters, flops = table["ops"], table["params_formula_M"], table["flops_M"]
    for row in np.random.default_rng(0).choice(len(cells), 50, replace=False):
        network = on_meta(cells[row])
        # The table has 32-bit floats, so equality is that of the numbers rounded to such.
        assert np.float32(parameter_count(network) / 1e6) == parameters[row]
        assert np.float32((count_flops(network, IMAGE) + HEAD_BIAS) / 1e6) == flops[row]


def test_the_space_is_the_benchmarks() -> None:
    space: Any = nas_bench_201_space()
    assert EDGE_NAMES == ("edge_0_1", "edge_0_2", "edge_1_2", "edge_0_3", "edge_1_3", "edge_2_3")
    assert set(space) == set(EDGE_NAMES)
    assert all(tuple(space[name].choices) == OPERATIONS for name in space)
    assert space.estimate_size() == 15_625
    joint: Any = nas_bench_201_space(training=True)
    assert set(joint) - set(space) == {"lr", "weight_decay", "batch_size"}
    default = dict(joint.get_default_configuration())
    assert (default["lr"], default["weight_decay"], default["batch_size"]) == pytest.approx((0.1, 5e-4, 256))


def test_the_seed_determines_the_samples() -> None:
    first, again, other = (nas_bench_201_space(seed=seed).sample_configuration(5) for seed in (3, 3, 4))
    assert first == again
    assert first != other


@pytest.mark.parametrize(
    ("kept", "factor"),
    [
        ({(0, 3)}, 1),
        ({(0, 1)}, 0),
        ({(0, 1), (1, 3)}, 1),
        ({(0, 2), (2, 3)}, 1),
        ({(0, 1), (1, 2), (2, 3)}, 1),
        ({(0, 2), (1, 3)}, 0),
        (set(EDGES), 4),  # the number of ways from node 0 to node 3
    ],
)
@pytest.mark.parametrize("operation", ["skip_connect", "avg_pool_3x3"])
def test_edges_join_their_nodes(kept: set[tuple[int, int]], factor: int, operation: str) -> None:
    """On constant maps pooling does nothing either, as padding is not averaged over."""
    cell = cell_of(*(operation if edge in kept else "none" for edge in EDGES))
    maps = torch.tensor([1.5, -2.0]).view(1, 2, 1, 1).expand(3, 2, 8, 8)
    assert torch.allclose(cell(maps), factor * maps)


@pytest.mark.parametrize(("operation", "size"), [("nor_conv_1x1", 1), ("nor_conv_3x3", 3)])
def test_convolutions_are_relu_conv_norm(operation: str, size: int) -> None:
    cell: Any = cell_of("none", "none", "none", operation, "none", "none").eval()
    relu, conv, norm = cell.edges["edge_0_3"]
    assert (conv.kernel_size, conv.bias, norm.affine) == ((size, size), None, True)
    maps = torch.randn(2, 2, 8, 8)
    expected = norm(torch.conv2d(maps.clamp(min=0), conv.weight, padding=size // 2))
    assert torch.allclose(cell(maps), expected, atol=1e-6)
    assert isinstance(relu, nn.ReLU)


def test_a_reduction_adds_a_residual_of_two_convolutions_to_pooled_maps() -> None:
    network: Any = NASBench201Network(["skip_connect"] * 6, channels=2, cells_per_stage=1)
    reduction = network.features.reduction_1.eval()
    for stage in reduction.residual:
        nn.init.zeros_(stage[2].weight)
    maps = torch.randn(3, 2, 8, 8)
    pooled = maps.view(3, 2, 4, 2, 4, 2).mean((3, 5))
    expected = torch.einsum("ncij,oc->noij", pooled, reduction.shortcut[1].weight[:, :, 0, 0])
    assert torch.allclose(reduction(maps), expected, atol=1e-6)


def test_convolutions_that_lead_nowhere_stay_in_the_graph_without_effect() -> None:
    torch.manual_seed(0)
    cell = ("nor_conv_3x3", "none", "none", "skip_connect", "none", "nor_conv_1x1")
    network = NASBench201Network(cell, channels=2, cells_per_stage=1)
    torch.autograd.backward(network(torch.randn(4, 3, 8, 8)).square().sum())
    dangling = [p for name, p in network.named_parameters() if "edge_0_1" in name]
    assert dangling
    assert all(p.grad is not None and not p.grad.any() for p in dangling)
    assert all(p.grad is not None for p in network.parameters())


def test_the_empty_cell_trains_though_it_sees_nothing() -> None:
    network = NASBench201Network(["none"] * 6, channels=2, cells_per_stage=1)
    logits = network(torch.randn(4, 3, 8, 8))
    assert torch.allclose(logits, logits[:1].expand(4, -1))
    torch.autograd.backward(logits.sum())
    assert all(torch.isfinite(p.grad).all() for p in network.parameters() if p.grad is not None)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"cell": ["none"] * 5}, "'cell' must name 6 operations"),
        ({"cell": "skip_connect"}, "'cell' must name 6 operations"),
        ({"cell": [*["none"] * 5, "max_pool_3x3"]}, "'edge_2_3' must be one of .* got 'max_pool_3x3'"),
        ({"cell": ["none"] * 6, "channels": 0}, "'channels' must be at least 1, got 0"),
    ],
)
def test_impossible_networks_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        NASBench201Network(**arguments)


def test_a_missing_edge_is_named() -> None:
    config = configuration(*OPERATIONS, "none")
    assert parameter_count(NASBench201Network.from_config({**config, "lr": 0.1}, channels=2, cells_per_stage=1)) > 0
    del config["edge_1_2"]
    with pytest.raises(ValueError, match="'edge_1_2' is missing"):
        NASBench201Network.from_config(config)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"image_size": 30}, "'image_size' must be a multiple of 4.* got 30"),
        ({"weight_decay": -1.0}, "'weight_decay' must be at least 0, got -1.0"),
        ({"lr": 0.0}, "'lr' must be positive"),
    ],
)
def test_impossible_classifiers_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        NASBench201Classifier(**configuration(*["none"] * 6), **arguments)


def test_a_classifier_trains_as_the_benchmark_and_reloads(tmp_path: Path) -> None:
    pl.seed_everything(0, verbose=False)
    config = configuration("nor_conv_3x3", "none", "skip_connect", "avg_pool_3x3", "nor_conv_1x1", "none")
    module = NASBench201Classifier(**config, channels=2, cells_per_stage=1, image_size=8, n_classes=2, batch_size=64)
    rates: list[float] = []

    class Rates(pl.Callback):
        def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
            rates.append(trainer.optimizers[0].param_groups[0]["lr"])

    labels = torch.arange(64) % 2
    images = torch.randn(64, 3, 8, 8) + labels.view(-1, 1, 1, 1)
    loader = DataLoader(TensorDataset(images, labels), batch_size=16)
    quiet: Any = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    fit = pl.Trainer(max_epochs=4, accelerator="cpu", callbacks=[Rates()], enable_checkpointing=False, **quiet)
    fit.fit(module, loader, loader)
    assert rates == pytest.approx([0.1, 0.0853553, 0.05, 0.0146447], rel=1e-5)
    assert isinstance(fit.optimizers[0], torch.optim.SGD)
    settings = fit.optimizers[0].param_groups[0]
    assert (settings["momentum"], settings["nesterov"], settings["weight_decay"]) == (0.9, True, 5e-4)
    assert float(fit.callback_metrics["val_error"]) < 0.3
    fit.save_checkpoint(tmp_path / "module.ckpt")
    loaded = NASBench201Classifier.load_from_checkpoint(tmp_path / "module.ckpt", weights_only=True)
    assert torch.equal(loaded.eval()(images), module.eval()(images))
    example = module.example_input_array
    assert isinstance(example, torch.Tensor)
    assert example.shape == (1, 3, 8, 8)


def test_the_cosine_needs_a_number_of_epochs() -> None:
    module = NASBench201Classifier(**configuration(*["none"] * 6), channels=2, cells_per_stage=1, image_size=8)
    loader = DataLoader(TensorDataset(torch.zeros(4, 3, 8, 8), torch.zeros(4, dtype=torch.long)))
    quiet: Any = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    fit = pl.Trainer(max_epochs=-1, max_steps=1, accelerator="cpu", enable_checkpointing=False, **quiet)
    with pytest.raises(ValueError, match="finite 'max_epochs', got -1"):
        fit.fit(module, loader, loader)
