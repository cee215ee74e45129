"""What a search costs over its bare trainings, and whether its controller grows.

Wall time of a random search of one-epoch trainings of digits over the same `Trainer.fit` calls without a search, in
alternation; and the resident memory of the process after 10 and after 100 trials.
"""

from __future__ import annotations

import argparse
import gc
import logging
import statistics
import tempfile
import time
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import psutil
from lightning.pytorch.loggers import CSVLogger

from datamodules import Digits
from lightning_primo import Metric, ParameterCount, RandomSearch, Search
from models import ConvNetClassifier, conv_net_space


def module(config: dict[str, Any]) -> ConvNetClassifier:
    """The network of a configuration."""
    return ConvNetClassifier(**config, in_channels=1, image_size=8, n_classes=10)


def make_search(directory: Path, batch_size: int) -> Search:
    """Random search over small networks, one epoch each."""
    return Search(
        conv_net_space(
            max_conv=2, max_filters=64, max_neurons=64, min_batch_size=batch_size, max_batch_size=batch_size
        ),
        module=module,
        datamodule=lambda config: Digits(batch_size=batch_size),
        objectives=[Metric("val_error"), ParameterCount()],
        algorithm=RandomSearch(),
        epochs=(1, 1),
        directory=directory,
        trainer={"logger": CSVLogger(directory)},
    )


def bare(configs: Sequence[Mapping[str, Any]], batch_size: int) -> float:
    """Seconds of the same trainings by a Trainer alone, with its usual logger and checkpoint."""
    start = time.perf_counter()
    for config in configs:
        with tempfile.TemporaryDirectory() as folder:
            trainer = pl.Trainer(
                max_epochs=1,
                logger=CSVLogger(folder),
                default_root_dir=folder,
                enable_progress_bar=False,
                enable_model_summary=False,
                num_sanity_val_steps=0,
            )
            trainer.fit(module(dict(config)), datamodule=Digits(batch_size=batch_size))
    return time.perf_counter() - start


def searched(n_trials: int, batch_size: int) -> tuple[float, list[Mapping[str, Any]]]:
    """Seconds of a search, construction included, and what it trained."""
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        result = make_search(Path(folder), batch_size).run(trials=n_trials, progress=False, report=False)
        seconds = time.perf_counter() - start
        return seconds, [trial.config for trial in result.trials]


def resident() -> float:
    """Resident memory of this process in MiB."""
    gc.collect()
    return float(psutil.Process().memory_info().rss) / 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=30, help="trainings to compare (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="alternations (default: %(default)s)")
    parser.add_argument("--batch-size", type=int, default=32, help="(default: %(default)s)")
    parser.add_argument("--no-memory", action="store_true", help="leave out the memory after 100 trials")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    _, configs = searched(3, arguments.batch_size)
    bare(configs, arguments.batch_size)  # first fits of a process import and compile what later ones find ready
    ratios = []
    for _ in range(arguments.rounds):
        seconds, configs = searched(arguments.trials, arguments.batch_size)
        alone = bare(configs, arguments.batch_size)
        ratios.append(seconds / alone)
        print(f"search {seconds:.2f} s, the same {len(configs)} fits alone {alone:.2f} s, ratio {ratios[-1]:.3f}")
    print(f"median ratio {statistics.median(ratios):.3f}")
    if not arguments.no_memory:
        with tempfile.TemporaryDirectory() as folder:
            memory = {}
            for n_trials in (10, 100):
                make_search(Path(folder), arguments.batch_size).run(trials=n_trials, progress=False, report=False)
                memory[n_trials] = resident()
            store = (Path(folder) / "search.sqlite").stat().st_size / 2**20
        print(
            f"resident memory after 10 trials {memory[10]:.1f} MiB, after 100 trials {memory[100]:.1f} MiB "
            f"(the store on disk: {store:.2f} MiB)"
        )


if __name__ == "__main__":
    main()
