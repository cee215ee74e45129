"""How well latencies repeat on this machine, and whether they are those of torch.utils.benchmark.

Each model is measured ten times, the models in turn. Printed are the relative standard deviation and the range of these
measurements, beside the relative deviation that each measurement gives of itself; and the ratio of the two models'
medians, as measured here and by `torch.utils.benchmark` by hand, which takes no care of trainings beside it.
"""

from __future__ import annotations

import argparse
import statistics
import timeit
from itertools import pairwise

import torch
from torch import nn
from torch.utils.benchmark import Timer
from torchvision.models import resnet18

from lightning_primo.measure import LatencyMeasurement, measure_latency
from lightning_primo.measure.turns import TrainingTurn


def conv_net() -> nn.Module:
    """A small network for 32 x 32 pixels."""
    widths = [3, 16, 32, 64]
    layers: list[nn.Module] = []
    for a, b in pairwise(widths):
        layers += [nn.Conv2d(a, b, 3, padding=1), nn.BatchNorm2d(b), nn.ReLU(), nn.MaxPool2d(2)]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(64 * 4 * 4, 10))


def by_hand(module: nn.Module, inputs: torch.Tensor, threads: int) -> float:
    """The median seconds of a call, as one would measure it without this package."""
    with torch.inference_mode():
        module(inputs)
        timer = Timer("module(inputs)", globals={"module": module, "inputs": inputs}, num_threads=threads)
        return timer.blocked_autorange(min_run_time=1.0).median


def pause_seconds() -> float:
    """What a training pays for each batch, to let measurements in."""
    turn = TrainingTurn()
    turn.begin()
    try:
        return min(timeit.repeat(turn.pause, number=10_000, repeat=7)) / 10_000
    finally:
        turn.end()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=10, help="measurements of each model (default: %(default)s)")
    parser.add_argument("--batch-size", type=int, default=1, help="(default: %(default)s)")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads (default: %(default)s)")
    arguments = parser.parse_args()
    models = {
        "ConvNet": (conv_net().eval(), torch.randn(arguments.batch_size, 3, 32, 32)),
        "ResNet-18": (resnet18().eval(), torch.randn(arguments.batch_size, 3, 224, 224)),
    }
    measured: dict[str, list[LatencyMeasurement]] = {name: [] for name in models}
    hand: dict[str, list[float]] = {name: [] for name in models}
    for _ in range(arguments.repeats):
        for name, (module, inputs) in models.items():
            measured[name].append(
                measure_latency(
                    module, inputs, device="cpu", batch_size=arguments.batch_size, threads=arguments.threads
                )
            )
            hand[name].append(by_hand(module, inputs, arguments.threads))
    print(f"on {measured['ConvNet'][0].hardware}, batch size {arguments.batch_size}, {arguments.threads} thread(s)")
    for name, measurements in measured.items():
        values = [measurement.median for measurement in measurements]
        middle = statistics.median(values)
        own = statistics.median(measurement.deviation / measurement.median for measurement in measurements)
        print(
            f"{name}: {middle * 1e3:.4g} ms; {len(values)} measurements scatter by {_relative(values):.1%} (from "
            f"{min(values) / middle - 1:+.1%} to {max(values) / middle - 1:+.1%}), each says {own:.1%} of itself; by "
            f"hand {statistics.median(hand[name]) * 1e3:.4g} ms, scattering by {_relative(hand[name]):.1%}"
        )
    ours = _ratio([m.median for m in measured["ResNet-18"]], [m.median for m in measured["ConvNet"]])
    theirs = _ratio(hand["ResNet-18"], hand["ConvNet"])
    print(f"ResNet-18 / ConvNet: {ours:.4g}, by hand {theirs:.4g}, a difference of {ours / theirs - 1:+.1%}")
    print(f"a training's offer to pause, per batch: {pause_seconds() * 1e6:.2g} microseconds")


def _relative(values: list[float]) -> float:
    return statistics.stdev(values) / statistics.median(values) if len(values) > 1 else 0.0


def _ratio(values: list[float], others: list[float]) -> float:
    return statistics.median(values) / statistics.median(others)


if __name__ == "__main__":
    main()
