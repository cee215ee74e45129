"""How well latencies repeat on this machine and what that takes, beside a fixed time and torch.utils.benchmark.

Each model is measured ten times in each way, the ways in turn: for a fixed quarter of a second; until the median is
known, as `measure_latency` does; by the adaptive timer of `torch.utils.benchmark`, which stops when the interquartile
range is below a tenth of the median, or after half a second as ours. Printed are the median, the relative standard
deviation and the range of these measurements, and the seconds that one took; beside ours, what a measurement says of
its own deviation, and for how many of them the median of all lies within it. With ``--cores 0 --busy 1`` it measures
on one core while a process keeps the other one busy.

In the end it is the ratio of two networks that are close: by two measurements, and by both in turn.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import statistics
import subprocess
import sys
import time
import timeit
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import torch
from torch import nn
from torch.utils.benchmark import Timer
from torchvision.models import resnet18

from lightning_primo.measure import compare_latencies, measure_latency, quiet_machine
from lightning_primo.measure.devices import device_name
from lightning_primo.measure.turns import TrainingTurn
from lightning_primo.timing import Ratio, time_calls


def perceptron(width: int = 32) -> nn.Module:
    """A network for 8 x 8 pixels, of tens of microseconds."""
    return nn.Sequential(nn.Linear(64, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 10))


def conv_net() -> nn.Module:
    """A small network for 32 x 32 pixels."""
    widths = [3, 16, 32, 64]
    layers: list[nn.Module] = []
    for a, b in pairwise(widths):
        layers += [nn.Conv2d(a, b, 3, padding=1), nn.BatchNorm2d(b), nn.ReLU(), nn.MaxPool2d(2)]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(64 * 4 * 4, 10))


def fixed(module: nn.Module, inputs: torch.Tensor) -> tuple[float, float]:
    """The median of a quarter of a second, whatever it is worth; and no deviation."""
    with quiet_machine(), torch.inference_mode():
        return time_calls(lambda: module(inputs), precision=1e-9, max_seconds=0.25, warmup=0.05).median, 0.0


def ours(module: nn.Module, inputs: torch.Tensor) -> tuple[float, float]:
    """The median, and the relative deviation that the measurement gives of itself."""
    measurement = measure_latency(module, inputs, device="cpu", batch_size=None)
    return measurement.median, measurement.deviation / measurement.median


def adaptive(module: nn.Module, inputs: torch.Tensor) -> tuple[float, float]:
    """The median by `Timer.adaptive_autorange`, for half a second at most, as ours; and no deviation."""
    with torch.inference_mode():
        module(inputs)
        timer = Timer("module(inputs)", globals={"module": module, "inputs": inputs}, num_threads=1)
        return timer.adaptive_autorange(max_run_time=0.5).median, 0.0


_SPIN = """
import os
os.sched_setaffinity(0, {{{core}}})
number = 1
while True:
    number = (number * 1103515245 + 12345) & 0x7FFFFFFF
"""

WAYS: dict[str, Callable[[nn.Module, torch.Tensor], tuple[float, float]]] = {
    "fixed 0.25 s": fixed,
    "measure_latency": ours,
    "adaptive_autorange": adaptive,
}


MODELS: dict[str, tuple[Any, ...]] = {
    "perceptron": (perceptron, 64),
    "ConvNet": (conv_net, 3, 32, 32),
    "ResNet-18": (resnet18, 3, 224, 224),
}
"""What builds each, and the size of a sample."""


@contextlib.contextmanager
def busy(core: int | None) -> Iterator[None]:
    """Keep a core busy inside, if one is given."""
    if core is None:
        yield
        return
    process = subprocess.Popen([sys.executable, "-c", _SPIN.format(core=core)])
    try:
        time.sleep(2.0)  # until it works
        yield
    finally:
        process.kill()
        process.wait()


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
    parser.add_argument("--models", nargs="+", choices=list(MODELS), default=list(MODELS), help="(default: all)")
    parser.add_argument("--batch-size", type=int, default=1, help="(default: %(default)s)")
    parser.add_argument("--cores", type=int, nargs="+", help="where to measure (Linux; default: anywhere)")
    parser.add_argument("--busy", type=int, metavar="CORE", help="keep this core busy meanwhile (Linux)")
    arguments = parser.parse_args()
    if arguments.cores:
        os.sched_setaffinity(0, arguments.cores)
    torch.set_num_threads(1)
    print(f"on {device_name(torch.device('cpu'))}, batch size {arguments.batch_size}, one thread")
    print(f"load {os.getloadavg()[0]:.1f}; {'a core is kept busy' if arguments.busy is not None else 'as it is'}")
    with busy(arguments.busy):
        for name in arguments.models:
            build, *sizes = MODELS[name]
            _compare(name, build().eval(), torch.randn(arguments.batch_size, *sizes), arguments.repeats)
        _ratios(arguments.repeats)
    print(f"load {os.getloadavg()[0]:.1f}")
    print(f"a training's offer to pause, per batch: {pause_seconds() * 1e6:.2g} microseconds")


def _compare(name: str, module: nn.Module, inputs: torch.Tensor, repeats: int) -> None:
    medians: dict[str, list[float]] = {way: [] for way in WAYS}
    deviations: dict[str, list[float]] = {way: [] for way in WAYS}
    seconds: dict[str, list[float]] = {way: [] for way in WAYS}
    for _ in range(repeats):
        for way, measure in WAYS.items():
            start = time.perf_counter()
            median, deviation = measure(module, inputs)
            seconds[way].append(time.perf_counter() - start)
            medians[way].append(median)
            deviations[way].append(deviation)
    for way, values in medians.items():
        middle, own = statistics.median(values), statistics.median(deviations[way])
        pairs = list(zip(values, deviations[way], strict=True))
        one, two = (sum(abs(value - middle) <= k * its_own * value for value, its_own in pairs) for k in (1, 2))
        told = f", each says {own:.1%} of itself: {one} hold the median within that, {two} within twice that"
        print(
            f"{name}, {way}: {middle * 1e3:.4g} ms; {len(values)} scatter by {_relative(values):.1%} (from "
            f"{min(values) / middle - 1:+.1%} to {max(values) / middle - 1:+.1%})"
            f"{told if own else ''}; {statistics.mean(seconds[way]):.3f} s each"
        )


def _ratios(repeats: int) -> None:
    inputs = torch.randn(1, 64)
    pair = [perceptron(96).eval(), perceptron(32).eval()]
    apart: list[float] = []
    together: list[Ratio] = []
    for _ in range(repeats):
        wide, narrow = (measure_latency(module, inputs, device="cpu").median for module in pair)
        apart.append(wide / narrow)
        together.append(compare_latencies(pair, inputs, device="cpu", seconds=0.25).ratio(0, 1))
    values = [ratio.value for ratio in together]
    middle = statistics.median(values)
    hold = sum(ratio.low <= middle <= ratio.high for ratio in together)
    print(
        f"a perceptron of 96 units takes {middle:.3f} times as long as one of 32; {repeats} ratios of two measurements "
        f"scatter by {_relative(apart):.1%}, of both in turn by {_relative(values):.1%}, and {hold} intervals hold that"
    )


def _relative(values: list[float]) -> float:
    return statistics.stdev(values) / statistics.median(values) if len(values) > 1 else 0.0


if __name__ == "__main__":
    main()
