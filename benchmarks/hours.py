"""What the same hours buy where proposals go by their worth per second, and where they go by that per epoch.

PriMO on Flowers-17 with real trainings, error and parameters with at most 10 million FLOPs, 1 to 25 epochs, batches of
1 to 512. Both searches of a seed run at the same time, with a thread each, so that they meet the same machine; told are
the full trainings' worth of epochs, the trials and the hypervolume (error of 100 %, 10^8 parameters).

    python -m benchmarks.hours --data-dir data --hours 0.12 --seeds 3
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from concurrent.futures import as_completed
from functools import partial
from pathlib import Path
from typing import Any

from datamodules import Flowers17
from lightning_primo import BudgetPrice, EpochPrice, FLOPs, Metric, ParameterCount, PriMO, Search
from lightning_primo.algorithms import Price
from lightning_primo.workers import LocalProcesses
from models import ConvNetClassifier, conv_net_space

_PRICES: dict[str, Price] = {"per second": BudgetPrice(), "per epoch": EpochPrice()}


def main(arguments: Sequence[str] | None = None) -> None:
    """Search, and print a line per search as it ends.

    Args:
        arguments: Of the command line; default: those of this process.
    """
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.hours", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data-dir", type=Path, default=Path("data"), help="images (default: %(default)s)")
    parser.add_argument("--hours", type=float, default=0.12, help="budget of a search (default: %(default)s)")
    parser.add_argument("--seeds", type=int, default=3, help="pairs of searches, from 0 (default: %(default)s)")
    parser.add_argument("--first-seed", type=int, default=0, help="in place of 0 (default: %(default)s)")
    options = parser.parse_args(arguments)
    with LocalProcesses(len(_PRICES)) as workers:
        for seed in range(options.first_seed, options.first_seed + options.seeds):
            pair = [workers.submit(_searched, name, seed, options.hours, options.data_dir) for name in _PRICES]
            for future in as_completed(pair):
                print(future.result(), flush=True)


def _searched(price: str, seed: int, hours: float, data_dir: Path) -> str:
    with tempfile.TemporaryDirectory() as folder:
        search = Search(
            conv_net_space(),
            module=_module,
            datamodule=partial(_data, data_dir),
            objectives=[Metric("val_error", mode="min", reference=1.0), ParameterCount(reference=1e8)],
            constraints=[FLOPs(at_most=1e7)],
            algorithm=PriMO(price=_PRICES[price]),
            epochs=(1, 25),
            seed=seed,
            directory=folder,
        )
        result = search.run(hours=hours, progress=False)
        return (
            f"seed {seed}, worth {price}: {result.full_trainings:.1f} full trainings, {len(result.trials)} trials, "
            f"hypervolume {result.hypervolume():.3f}"
        )


def _module(config: dict[str, Any]) -> ConvNetClassifier:
    return ConvNetClassifier(**config, in_channels=3, image_size=16, n_classes=17)


def _data(data_dir: Path, config: dict[str, Any]) -> Flowers17:
    return Flowers17(data_dir, batch_size=config["batch_size"])


if __name__ == "__main__":
    main()
