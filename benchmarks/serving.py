"""The wall time of a search whose latencies a device measures while the machine trains, and of one that measures here.

The device is this machine's last core, by a server in a process of its own; the search has the others. Both searches
try the same configurations, each with a network of its own, in ONNX Runtime. As on a slow device, a measurement takes
`--seconds` of calls, by a precision that is never reached.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path

from ConfigSpace import ConfigurationSpace, Float, Integer

from datamodules import Digits
from lightning_primo import Latency, Metric, RandomSearch, Result, Search, ServedDevice
from lightning_primo.runtimes import OnnxRuntime
from lightning_primo.serving import serving_here
from models import ConvNetClassifier

_UNREACHED = 1e-4


def classifier(lr: float, filters: int) -> ConvNetClassifier:
    """A network for digits."""
    return ConvNetClassifier(
        lr=lr, n_conv=1, n_filters_1=filters, n_fc=1, n_neurons_1=32, in_channels=1, image_size=8, n_classes=10
    )


def search(directory: Path, device: ServedDevice | None, arguments: argparse.Namespace) -> tuple[float, Result]:
    """The seconds of a search, and what it found."""
    space = ConfigurationSpace(seed=0)
    space.add(Float("lr", (1e-3, 1e-2), log=True))
    space.add(Integer("filters", (8, 64)))
    latency = Latency(
        "cpu", threads=1, runtime=OnnxRuntime(), on=device, precision=_UNREACHED, max_seconds=arguments.seconds
    )
    run = Search(
        space,
        module=lambda config: classifier(config["lr"], config["filters"]),
        datamodule=lambda config: Digits(batch_size=32),
        objectives=[Metric("val_error", mode="min"), latency],
        algorithm=RandomSearch(),
        epochs=(1, arguments.epochs),
        directory=directory,
        trainer={"accelerator": "cpu"},
        remeasure=0,
    )
    began = time.perf_counter()
    result = run.run(trials=arguments.trials, progress=False)
    return time.perf_counter() - began, result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=8, help="(default: %(default)s)")
    parser.add_argument("--epochs", type=int, default=12, help="of each training (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=5.0, help="of each measurement (default: %(default)g)")
    arguments = parser.parse_args()
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    with serving_here(cores=cores[-1:]) as device, tempfile.TemporaryDirectory() as folder:
        if len(cores) > 1:
            os.sched_setaffinity(0, cores[:-1])
        search(Path(folder, "warm"), None, argparse.Namespace(**{**vars(arguments), "trials": 1, "epochs": 1}))
        for name, where in (("in the trainer", None), ("on the device", device)):
            seconds, result = search(Path(folder, name), where, arguments)
            told = sum(trial.outcome == "ok" for trial in result.trials)
            print(f"measuring {name}: {seconds:.1f} s for {told} trials", flush=True)


if __name__ == "__main__":
    main()
