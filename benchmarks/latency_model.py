"""How well a model of latency orders networks that were not measured yet, after some that were.

Networks are drawn from the digits space, and each is measured in a runtime. The search's own Gaussian process is fitted
to `n` of them, with the noise that each measurement states, and asked for the rest, for several choices of the `n`.
Printed are the means of Spearman's and Kendall's rank correlation with what was measured, the share of these values
within two standard deviations of prediction and measurement together, and of the quicker half of the rest how many the
model's quicker half has. FLOPs, which cost nothing, are the baseline.

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
    parser.add_argument("--networks", type=int, default=60)
    parser.add_argument("--measured", type=int, nargs="+", default=[10, 20, 40])
    parser.add_argument("--runtime", choices=RUNTIMES, default="eager")
    parser.add_argument("--choices", type=int, default=20, help="of the networks that are measured first")
    options = parser.parse_args(arguments)
    x, seconds, deviations, flops = measured_networks(options.networks, RUNTIMES[options.runtime])
    spread = float(np.median(deviations / seconds))
    print(
        f"{options.networks} networks, {seconds.min() * 1e6:.0f} to {seconds.max() * 1e6:.0f} µs, each ± {spread:.0%}"
    )
    print(f"{'measured':>9} {'Spearman':>9} {'Kendall':>8} {'within 2 sd':>12} {'quicker half':>13} {'FLOPs':>6}")
    for n in options.measured:
        print(line(n, x, seconds, deviations, flops, choices=options.choices))


def measured_networks(count: int, runtime: Runtime) -> tuple[Array, Array, Array, Array]:
    """Features of configurations, `count x d`; seconds, deviations, multiply-adds of their networks, `count` each."""
    space = conv_net_space(min_filters=2, seed=0)
    configs = [dict(config) for config in space.sample_configuration(count)]
    image = torch.zeros(1, 1, 8, 8)
    measured, flops = [], []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnsteadyMeasurementWarning)
        for config in configs:
            module = ConvNetClassifier(in_channels=1, image_size=8, n_classes=10, **config)
            measured.append(runtime_latency(runtime, module, image, device="cpu", threads=1))
            flops.append(float(count_flops(module, image)))
    encoding = Encoding(space)
    seconds, deviations = (np.array([getattr(one, name) for one in measured]) for name in ("median", "deviation"))
    return encoding.features(encoding.vectors(configs)), seconds, deviations, np.array(flops)


def line(n: int, x: Array, seconds: Array, deviations: Array, flops: Array, *, choices: int) -> str:
    """What models of `n` say of the others, on average."""
    y, noise = np.log(seconds), deviations / seconds
    rows = []
    for choice in range(choices):
        order = np.random.default_rng(choice).permutation(len(y))
        known, rest = order[:n], order[n:]
        mean, deviation = GaussianProcess.fit(x[known], y[known], variances=noise[known] ** 2).predict(x[rest])
        told, true = (set(np.argsort(values)[: len(rest) // 2].tolist()) for values in (mean, y[rest]))
        rows.append(
            (
                spearmanr(mean, y[rest]).statistic,
                kendalltau(mean, y[rest]).statistic,
                np.mean(np.abs(mean - y[rest]) <= 2 * np.hypot(deviation, noise[rest])),
                len(told & true) / len(true),
                spearmanr(flops[rest], y[rest]).statistic,
            )
        )
    spearman, kendall, within, quicker, by_flops = np.array(rows, dtype=np.float64).mean(axis=0)
    return f"{n:>9} {spearman:>9.2f} {kendall:>8.2f} {within:>12.0%} {quicker:>13.0%} {by_flops:>6.2f}"


if __name__ == "__main__":
    main()
