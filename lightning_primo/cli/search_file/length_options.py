"""The options of the command line that say how long a search trains: each trial, and all of them."""

from __future__ import annotations

import jsonargparse

from lightning_primo.cli.search_file.limits import DEFAULT_FULL_TRAININGS


def add_lengths(made: jsonargparse.ArgumentParser) -> None:
    """Add the lengths of trainings and the budget."""
    made.add_argument(
        "--epochs",
        type=int | list[int] | None,
        help="[shortest, full] training (default: 1 and the config's trainer.max_epochs)",
    )
    made.add_argument(
        "--steps",
        type=list[int] | None,
        help="[shortest, full] training in optimiser steps instead, such as [500, 13500]: trainings end, and go on, "
        "inside epochs",
    )
    made.add_argument(
        "--data",
        type=list[float | str] | None,
        help="[smallest, 1] fraction of the training data instead, such as [1/27, 1]: each training runs the config's "
        "trainer.max_epochs on its fraction, and begins anew on a larger one",
    )
    made.add_argument(
        "--budget.full_trainings",
        type=float | None,
        help="in total, over all runs of the search (default where no budget is given: "
        f"{DEFAULT_FULL_TRAININGS:g}, or what the algorithm plans with)",
    )
    made.add_argument("--budget.epochs", type=float | None, help="in total")
    made.add_argument("--budget.steps", type=float | None, help="in total, where trainings are counted in steps")
    made.add_argument("--budget.hours", type=float | None, help="in total")
    made.add_argument("--budget.device_hours", type=float | None, help="of all devices that train, in total")
    made.add_argument("--budget.trials", type=int | None, help="configurations started, in total")


def name_of_length(options: jsonargparse.Namespace) -> str:
    """What the length of a training that is known is called."""
    return "data" if options.data is not None else "epoch" if options.steps is None else "step"
