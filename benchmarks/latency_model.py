"""How well a model of latency orders networks that were not measured yet, after some that were.

Networks are drawn from the digits space, and each is measured in a runtime. The search's own Gaussian process is fitted
to the first `n` and asked for the rest: Kendall's and Spearman's rank correlation, and how many of the true values lie
within two standard deviations. FLOPs, which cost nothing, are the baseline.

Run it with ``python -m benchmarks.latency_model``.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from scipy.stats import kendalltau, spearmanr

from lightning_primo.errors import UnsteadyMeasurementWarning
from lightning_primo.measure import count_flops
from lightning_primo.runtimes import Eager, OnnxRuntime, Runtime
from lightning_primo.runtimes.latency import runtime_latency
from lightning_primo.space.encoding import Encoding
from lightning_primo.surrogates.gp import GaussianProcess
from models import ConvNetClassifier, conv_net_space

RUNTIMES: dict[str, Runtime] = {"eager": Eager(), "onnxruntime": OnnxRuntime()}
Array = npt.NDArray[np.float64]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--networks", type=int, default=80)
    parser.add_argument("--measured", type=int, nargs="+", default=[10, 20, 40])
    parser.add_argument("--runtime", choices=RUNTIMES, default="eager")
    options = parser.parse_args(arguments)
    print(f"{'measured':>9} {'Spearman':>9} {'Kendall':>8} {'within 2 sd':>12} {'FLOPs, Spearman':>16}")
    x, seconds, flops = measured_networks(options.networks, RUNTIMES[options.runtime])
    for n in options.measured:
        print(line(n, x, seconds, flops))


def measured_networks(count: int, runtime: Runtime) -> tuple[Array, Array, Array]:
    """Features of configurations, `count x d`, and the seconds and multiply-adds of their networks, `count` each."""
    space = conv_net_space(min_filters=2, seed=0)
    configs = [dict(config) for config in space.sample_configuration(count)]
    image = torch.zeros(1, 1, 8, 8)
    seconds, flops = [], []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnsteadyMeasurementWarning)
        for config in configs:
            module = ConvNetClassifier(in_channels=1, image_size=8, n_classes=10, **config)
            seconds.append(runtime_latency(runtime, module, image, device="cpu", threads=1).median)
            flops.append(float(count_flops(module, image)))
    encoding = Encoding(space)
    return encoding.features(encoding.vectors(configs)), np.array(seconds), np.array(flops)


def line(n: int, x: Array, seconds: Array, flops: Array) -> str:
    """What a model of the first `n` says of the others."""
    y = np.log(seconds)
    mean, deviation = GaussianProcess.fit(x[:n], y[:n]).predict(x[n:])
    ranks = (spearmanr(mean, y[n:]).statistic, kendalltau(mean, y[n:]).statistic)
    within = np.mean(np.abs(mean - y[n:]) <= 2 * deviation)
    return f"{n:>9} {ranks[0]:>9.2f} {ranks[1]:>8.2f} {within:>12.0%} {spearmanr(flops[n:], y[n:]).statistic:>16.2f}"


if __name__ == "__main__":
    main()
