"""``lightning-primo measure``: what the model of a project costs on this machine."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonargparse
from jsonargparse.typing import PositiveInt

from lightning_primo.checks import printable
from lightning_primo.cli.output import print_note, print_table, print_text, writing
from lightning_primo.json_values import to_json

if TYPE_CHECKING:
    from lightning_primo.measure.layers import Profile
    from lightning_primo.measure.module_profile import BatchProfile, ModuleProfile

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


def parser() -> jsonargparse.ArgumentParser:
    """The arguments of the command."""
    made = jsonargparse.ArgumentParser(
        description="Measure the model of a LightningCLI project on this machine, untrained: parameters, multiply-adds "
        "(FLOPs) of one sample, latency (median and interquartile range) and peak memory of inference and training, by "
        "device and batch size. The inputs are its example_input_array, or a batch of its data."
    )
    made.add_argument(
        "--config",
        action="extend",
        nargs="+",
        required=True,
        metavar="FILE",
        help="the project's config; several are merged",
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
    made.add_argument(
        "--as-it-is",
        action="store_true",
        help="one batch with the inputs as they are, neither cut nor repeated: for graphs and ragged sequences",
    )
    made.add_argument(
        "--by-layer",
        action="store_true",
        help="also a table of the submodules, the largest first: parameters, multiply-adds, those that fvcore counts, "
        "activations, and share of the latency on the first device with the first batch size",
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
    from rich.markup import escape

    from lightning_primo.cli.project.project import Project
    from lightning_primo.factory import Factory
    from lightning_primo.layout import write_atomically
    from lightning_primo.measure.devices import available_devices
    from lightning_primo.measure.layers import profile as profile_layers
    from lightning_primo.measure.module_profile import profile_module
    from lightning_primo.objectives.example_inputs import inputs_before_training
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
            inputs = inputs_before_training(factory, {}, module)
            devices = options.device or available_devices()
            sizes = [None] if options.as_it_is else options.batch_size
            profile = profile_module(
                module,
                inputs,
                devices=devices,
                batch_sizes=sizes,
                threads=options.threads,
                progress=lambda what: status.update(escape(printable(f"measuring on {what}"))),
            )
            layers = None
            if options.by_layer:
                status.update("measuring the layers")
                layers = profile_layers(module, inputs, device=devices[0], batch_size=sizes[0])
    for text in dict.fromkeys(str(note.message) for note in notes):
        print_note(f"note: {text}")
    show(profile)
    if layers is not None:
        show_layers(layers)
    if file is not None:
        with writing(file):
            write_atomically(file, to_json(described(profile, layers)) + "\n")
    return 0 if any(batch.latency for batch in profile.batches) else 1


def show(profile: ModuleProfile) -> None:
    """Print it as a table: a row for each device and batch size, with the peak memory of inference and of training."""
    from lightning_primo.measure.devices import batch_name
    from lightning_primo.results.formatting import format_value

    flops = "unknown" if profile.flops is None else f"{profile.flops:,}"
    frozen = profile.parameters - profile.trainable_parameters
    print_text(f"{profile.module}: {profile.parameters:,} parameters" + (f" ({frozen:,} frozen)" if frozen else ""))
    whole = all(batch.batch_size is None for batch in profile.batches)
    print_text(f"{flops} FLOPs (multiply-adds of {'the inputs as they are' if whole else 'one sample'})")
    reasons = {reason: str(number) for number, reason in enumerate(profile.all_failures, 1)}
    devices = {batch.device: batch.hardware for batch in profile.batches}
    for device, hardware in devices.items():
        threads = {batch.latency.threads for batch in profile.batches if batch.latency and batch.device == device}
        of_threads = f", threads: {threads.pop()}" if threads and device == "cpu" else ""
        print_text(f"{device}: {hardware}{of_threads}")
    print_text("")

    def cell(batch: BatchProfile, name: str, value: str | None) -> str:
        return f"[{reasons[batch.failures[name]]}]" if value is None else value

    rows = []
    for batch in profile.batches:
        latency = batch.latency
        median = None if latency is None else f"{latency.median * 1e3:.4g}" + ("" if latency.steady else " (unsteady)")
        iqr = None if latency is None else f"{latency.iqr * 1e3:.2g}"
        rate: str | None = None
        if latency is not None:
            rate = "" if batch.batch_size is None else format_value(round(batch.batch_size / latency.median))
        memory = (batch.inference_memory, batch.training_memory)
        inference, training = (None if held is None else format_bytes(held) for held in memory)
        rows.append(
            [
                batch.device,
                batch_name(batch.batch_size),
                *(cell(batch, "latency", value) for value in (median, iqr, rate)),
                cell(batch, "inference_memory", inference),
                cell(batch, "training_memory", training),
            ]
        )
    header = ["device", "batch", "latency ms", "IQR ms", "samples/s", "inference", "training"]
    print_table(header, rows, left=("device",))
    for reason, number in reasons.items():
        print_text(f"[{number}] {reason}")


def show_layers(layers: Profile) -> None:
    """Print the costs of the submodules as a table, and below it what the counters leave out."""
    from lightning_primo.measure.devices import batch_name

    print_text(f"\nby layer, batch {batch_name(layers.batch_size)}, latency on {layers.device}:")
    header, rows = layers.table()
    print_table(header, rows, left=("layer",))
    for note in layers.notes():
        print_text(note)


def format_bytes(number: int) -> str:
    """Bytes in the largest unit of which there is one: ``1.5 KiB``."""
    size = float(number)
    for unit in _UNITS:
        if size < 1024 or unit == _UNITS[-1]:
            break
        size /= 1024
    return f"{size:.4g} {unit}"


def described(profile: ModuleProfile, layers: Profile | None = None) -> dict[str, Any]:
    """The profile and the layers as plain values, with the units and versions that they were measured with."""
    import torch

    from lightning_primo import __version__

    whole = all(batch.batch_size is None for batch in profile.batches)
    of_what = "the inputs as they are" if whole else "one sample"
    units = {"flops": f"multiply-adds of {of_what}", "latency": "seconds per batch", "memory": "bytes"}
    versions = {"lightning_primo": __version__, "torch": torch.__version__}
    by_layer = {} if layers is None else {"by_layer": layers.to_dict()}
    return {**profile.to_dict(), **by_layer, "units": units, "versions": versions}
