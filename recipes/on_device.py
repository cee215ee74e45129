"""Digits on a device: validation error against the latency of int8 networks in ONNX Runtime, in a few minutes.

The networks are trained here and measured there, beside each other: on a device where ``lightning-primo serve`` runs
(--on), or on this machine by a server in a process of its own, which has one core for itself. In the end the front lies
in the search's directory as ONNX files, as they were measured, with a table of what each does on the device.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd

from datamodules import CIFAR10, Digits
from datamodules.base import InMemoryDataModule
from lightning_primo import Latency, Metric, Prior, Result, Search, ServedDevice
from lightning_primo.runtimes import Artefact, DeployableRuntime, OnnxRuntime, Quantised
from lightning_primo.serving import serving_here
from models import ConvNetClassifier, conv_net_space
from recipes.common import Recipe, pooling_changes, search_arguments, search_parser

PRIORS = {
    "val_error": Prior(
        {"n_conv": 2, "n_filters_1": 32, "n_neurons_1": 64, "batch_norm": True, "lr": 5e-3, "batch_size": 32},
        confidence=0.75,
    ),
    "latency": Prior({"n_conv": 1, "n_filters_1": 4, "kernel_size": 3, "n_neurons_1": 8, "lr": 2e-2}, confidence=0.5),
}

FOLDER, TABLE = "on_device", "on_device.csv"


def parser() -> argparse.ArgumentParser:
    """The parser of the command line."""
    command = search_parser(__doc__, directory="runs/on_device", full_trainings=12, epochs=(1, 9))
    command.add_argument(
        "--on",
        metavar="ADDRESS",
        help="the device, such as http://pi:8765 or ssh://user@pi (default: this machine, in a process of its own)",
    )
    command.add_argument("--float", action="store_true", help="networks as they are, not of 8 bits")
    command.add_argument("--cifar10", action="store_true", help="CIFAR-10 in place of digits, for a GPU that trains")
    command.add_argument("--data-dir", type=Path, default=Path("data"), help="CIFAR-10's (default: %(default)s)")
    return command


def run(options: argparse.Namespace) -> Result:
    """Search, as the options of `parser` say, and export the front."""
    runtime: DeployableRuntime = OnnxRuntime() if options.float else Quantised(OnnxRuntime())
    size = 32 if options.cifar10 else 8
    space = conv_net_space(
        max_conv=3 if options.cifar10 else 2,
        min_filters=4,
        max_filters=64,
        max_fc=2,
        max_neurons=64,
        min_batch_size=16,
        max_batch_size=64,
        min_lr=1e-3,
        max_lr=1e-1,
        optional_pooling=pooling_changes(options),
    )

    def data(batch_size: int) -> InMemoryDataModule:
        if options.cifar10:
            return CIFAR10(options.data_dir, batch_size=batch_size, flip=True, crop_padding=4)
        return Digits(batch_size=batch_size, crop_padding=1)

    with _device(options.on) as device:
        latency = Latency("cpu", threads=1, on=device, runtime=runtime, reference=1e-2, name="latency")
        search = Search(
            space,
            module=lambda config: ConvNetClassifier(
                **config, in_channels=3 if options.cifar10 else 1, image_size=size, n_classes=10
            ),
            datamodule=lambda config: data(config["batch_size"]),
            objectives=[Metric("val_error", mode="min", reference=0.2), latency],
            **search_arguments(options, PRIORS),
        )
        result = search.run(full_trainings=options.full_trainings, progress=not options.quiet)
        export_front(result, data(64), runtime, device)
    return result


@contextmanager
def _device(address: str | None) -> Iterator[ServedDevice]:
    """The device at an address, or this machine, whose last core is then left to it."""
    if address is not None:
        yield ServedDevice(address)
        return
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    with serving_here(cores=cores[-1:]) as device:
        if len(cores) > 1:
            os.sched_setaffinity(0, cores[:-1])
        try:
            yield device
        finally:
            if len(cores) > 1:
                os.sched_setaffinity(0, cores)


def export_front(result: Result, data: InMemoryDataModule, runtime: DeployableRuntime, device: ServedDevice) -> None:
    """Write the front as files of the runtime, calibrated on training data, and what each does on the device.

    Args:
        result: Of the search.
        data: Its data.
        runtime: What it measured in.
        device: Where it measured.
    """
    data.prepare_data()
    data.setup("fit")
    folder = result.directory / FOLDER
    folder.mkdir(exist_ok=True)
    calibration = [images for (images, _), _ in zip(data.train_dataloader(), range(8), strict=False)]
    rows = []
    for trial in result.front:
        place = folder / f"trial_{trial.id:05d}"
        place.mkdir(exist_ok=True)
        one = calibration[0][:1]
        artefact = runtime.export(result.load(trial).cpu().eval(), one, place, calibration=calibration)
        found = device.measure(artefact, [one.numpy()], runtime=runtime, threads=1)
        rows.append(
            {
                "trial": trial.id,
                "trained error": trial.values["val_error"],
                "file's error": error_of(runtime, artefact, data),
                "latency ms": f"{found.median * 1e3:.3g}",
                "± ms": f"{found.deviation * 1e3:.1g}",
                "KiB": f"{artefact.size / 1024:.4g}",
                "file": artefact.path.relative_to(result.directory),
            }
        )
    pd.DataFrame(rows).to_csv(result.directory / TABLE, index=False)


def error_of(runtime: DeployableRuntime, artefact: Artefact, data: InMemoryDataModule) -> float:
    """The share of the validation images that a file gets wrong, in its runtime on this machine."""
    session = runtime.load(artefact)
    wrong = [session([images.numpy()])[0].argmax(-1) != labels.numpy() for images, labels in data.val_dataloader()]
    return float(np.concatenate(wrong).mean())


def show(options: argparse.Namespace, result: Result) -> None:
    """Print what the front does on the device."""
    path = result.directory / TABLE
    print(f"on the device ({path}):\n{pd.read_csv(path).to_string(index=False)}")


RECIPE = Recipe(parser=parser, run=run, show_more=show)
main = RECIPE.main

if __name__ == "__main__":
    main()
