"""Oxford Flowers: validation error against parameters, over the joint space of the Bag of Baselines (table 2).

With a --data-dir that holds flowers17_16x16_uint8.npz this is the paper's task: 17 classes at 16 x 16 pixels, 25 epochs
for a full training, hypervolume against an error of 100 % and 10^8 parameters. Otherwise torchvision's Flowers102 is
downloaded there and scaled to 32 x 32. The FLOPs cap keeps every training within what a CPU does in a minute.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import Any

from datamodules import Flowers17, Flowers102
from lightning_primo import FLOPs, Metric, ParameterCount, Prior, Result, Search
from models import ConvNetClassifier, conv_net_space
from recipes.common import Priors, Recipe, pooling_changes, search_arguments, search_parser

PRIORS: dict[str, Priors] = {
    "none": {},
    "sensible": {
        "val_error": Prior(
            {"lr": 1e-3, "batch_size": 32, "n_conv": 2, "kernel_size": 3, "batch_norm": True, "n_fc": 1},
            confidence=0.75,
        ),
        "parameters": Prior(
            {"n_conv": 2, "n_filters_1": 16, "global_average_pooling": True, "n_fc": 1, "n_neurons_1": 16},
            confidence=0.75,
        ),
    },
    "misleading": {
        "val_error": Prior(
            {"lr": 1.0, "batch_size": 512, "n_conv": 1, "kernel_size": 7, "batch_norm": False, "n_fc": 3},
            confidence=0.75,
        ),
        "parameters": Prior(
            {"n_conv": 1, "n_filters_1": 1024, "global_average_pooling": False, "n_fc": 3, "n_neurons_1": 512},
            confidence=0.75,
        ),
    },
}
"""Priors by name: around sensible values, and around the opposite."""


def parser() -> argparse.ArgumentParser:
    """The parser of the command line."""
    command = search_parser(__doc__, directory=None, full_trainings=20, epochs=(1, 25))
    command.add_argument("--data-dir", type=Path, default=Path("data"), help="images (default: %(default)s)")
    command.add_argument(
        "--max-flops",
        type=float,
        default=1e7,
        metavar="M",
        help="cap on the multiply-adds per image; inf for none (default: %(default)g)",
    )
    command.add_argument(
        "--priors", choices=sorted(PRIORS), default="none", help="expert priors to use (default: %(default)s)"
    )
    return command


def run(options: argparse.Namespace) -> Result:
    """Search, as the options of `parser` say."""
    small = any(
        (folder / Flowers17.file_name).exists() for folder in (options.data_dir, options.data_dir / "flowers17")
    )
    shape: dict[str, Any] = {"in_channels": 3, "image_size": 16 if small else 32, "n_classes": 17 if small else 102}

    def datamodule(config: dict[str, int]) -> Flowers17 | Flowers102:
        if small:
            return Flowers17(options.data_dir, batch_size=config["batch_size"])
        return Flowers102(options.data_dir, batch_size=config["batch_size"], image_size=32, download=True)

    search = Search(
        conv_net_space(optional_pooling=pooling_changes(options)),
        module=lambda config: ConvNetClassifier(**config, **shape),
        datamodule=datamodule,
        objectives=[Metric("val_error", mode="min", reference=1.0), ParameterCount(reference=1e8)],
        constraints=[FLOPs(at_most=options.max_flops)] if math.isfinite(options.max_flops) else [],
        **search_arguments(options, PRIORS[options.priors], directory="runs/flowers17" if small else "runs/flowers102"),
    )
    return search.run(full_trainings=options.full_trainings, progress=not options.quiet)


RECIPE = Recipe(parser=parser, run=run)
main = RECIPE.main

if __name__ == "__main__":
    main()
