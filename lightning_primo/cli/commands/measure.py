"""``lightning-primo measure``: what the model of a project costs on this machine."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonargparse
from jsonargparse.typing import PositiveInt

from lightning_primo.cli.output import print_table, writing
from lightning_primo.json_values import to_json

if TYPE_CHECKING:
    from lightning_primo.measure.profile import BatchProfile, ModuleProfile

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


def parser() -> jsonargparse.ArgumentParser:
    """The arguments of the command."""
    made = jsonargparse.ArgumentParser(
        description="Measure the model of a LightningCLI project on this machine, untrained: parameters, multiply-adds "
        "(FLOPs) of one sample, latency (median and interquartile range) and peak memory of inference and training, by "
        "device and batch size. The inputs are its example_input_array, or a batch of its data."
    )
    made.add_argument(
        "--config", type=Path, nargs="+", required=True, metavar="FILE", help="the project's config; several are merged"
    )
    made.add_argument(
        "--cli",
        type=str,
        metavar="SCRIPT",
        help="the project's own script or function with its LightningCLI, as main.py or package.module:function; only "
        "if the config names no classes",
    )
    made.add_argument(
        "--batch-size", type=PositiveInt, nargs="+", default=[1, 32], metavar="N", help="samples in a batch"
    )
    made.add_argument(
        "--device", type=str, nargs="+", metavar="NAME", help="such as cpu cuda cuda:1 (default: all kinds there are)"
    )
    made.add_argument(
        "--threads", type=PositiveInt, metavar="N", help="CPU threads within an operator (default: as torch chooses)"
    )
    made.add_argument("--json", type=Path, metavar="FILE", help="also write everything to this file, as JSON")
    return made


def run(options: jsonargparse.Namespace) -> int:
    """Carry out the command.

    Returns:
        0, or 1 if nothing could be measured but the parameters.

    Raises:
        PrimoError: The config does not describe a model, there is no such device, or the file cannot be written.
    """
    from rich.console import Console

    from lightning_primo.cli.project import Project
    from lightning_primo.factory import Factory
    from lightning_primo.layout import write_atomically
    from lightning_primo.measure.devices import available_devices
    from lightning_primo.measure.profile import profile_module
    from lightning_primo.objectives.example_inputs import example_inputs
    from lightning_primo.training.process_state import quiet_lightning

    file = options.json and options.json.expanduser().absolute()  # the project has a folder of its own
    if file is not None:
        with writing(file):  # before the work, not after it
            file.parent.mkdir(parents=True, exist_ok=True)
    project = Project.open(options.config, options.cli)
    factory = Factory(project.module, project.data)
    with Console(stderr=True).status("building the model") as status, warnings.catch_warnings(record=True) as notes:
        warnings.simplefilter("default")
        for category in (DeprecationWarning, PendingDeprecationWarning, FutureWarning):  # of libraries
            warnings.simplefilter("ignore", category)
        with quiet_lightning(), project.active():
            module = factory.whole_module({})
            profile = profile_module(
                module,
                example_inputs(module, factory.data({})),
                devices=options.device or available_devices(),
                batch_sizes=options.batch_size,
                threads=options.threads,
                progress=lambda what: status.update(f"measuring on {what}"),
            )
    for text in dict.fromkeys(str(note.message) for note in notes):
        print(f"note: {text}", file=sys.stderr)
    show(profile)
    if file is not None:
        with writing(file):
            write_atomically(file, to_json(described(profile)) + "\n")
    return 0 if any(batch.latency for batch in profile.batches) else 1


def show(profile: ModuleProfile) -> None:
    """Print it as a table: a row for each device and batch size, with the peak memory of inference and of training."""
    from lightning_primo.results.formatting import format_value

    flops = "unknown" if profile.flops is None else f"{profile.flops:,}"
    frozen = profile.parameters - profile.trainable_parameters
    print(f"{profile.module}: {profile.parameters:,} parameters" + (f" ({frozen:,} frozen)" if frozen else ""))
    print(f"{flops} FLOPs (multiply-adds of one sample)")
    reasons = {reason: str(number) for number, reason in enumerate(profile.all_failures, 1)}
    devices = {batch.device: batch.hardware for batch in profile.batches}
    for device, hardware in devices.items():
        threads = {batch.latency.threads for batch in profile.batches if batch.latency and batch.device == device}
        of_threads = f", threads: {threads.pop()}" if threads and device == "cpu" else ""
        print(f"{device}: {hardware}{of_threads}")
    print()

    def cell(batch: BatchProfile, name: str, value: str | None) -> str:
        return f"[{reasons[batch.failures[name]]}]" if value is None else value

    rows = []
    for batch in profile.batches:
        latency = batch.latency
        median = None if latency is None else f"{latency.median * 1e3:.4g}"
        iqr = None if latency is None else f"{latency.iqr * 1e3:.2g}"
        rate = None if latency is None else format_value(round(batch.batch_size / latency.median))
        memory = (batch.inference_memory, batch.training_memory)
        inference, training = (None if held is None else format_bytes(held) for held in memory)
        rows.append(
            [
                batch.device,
                str(batch.batch_size),
                *(cell(batch, "latency", value) for value in (median, iqr, rate)),
                cell(batch, "inference_memory", inference),
                cell(batch, "training_memory", training),
            ]
        )
    header = ["device", "batch", "latency ms", "IQR ms", "samples/s", "inference", "training"]
    print_table(header, rows, left=("device",))
    for reason, number in reasons.items():
        print(f"[{number}] {reason}")


def format_bytes(number: int) -> str:
    """Bytes in the largest unit of which there is one: ``1.5 KiB``."""
    size = float(number)
    for unit in _UNITS:
        if size < 1024 or unit == _UNITS[-1]:
            break
        size /= 1024
    return f"{size:.4g} {unit}"


def described(profile: ModuleProfile) -> dict[str, Any]:
    """The profile as plain values, with the units and versions that it was measured with."""
    import torch

    from lightning_primo import __version__

    units = {"flops": "multiply-adds of one sample", "latency": "seconds per batch", "memory": "bytes"}
    versions = {"lightning_primo": __version__, "torch": torch.__version__}
    return {**profile.to_dict(), "units": units, "versions": versions}
