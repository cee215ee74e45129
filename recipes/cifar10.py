"""CIFAR-10: validation error against FLOPs and parameters, over the joint space of the Bag of Baselines (table 2).

Meant for a GPU: 45,000 training images, flipped and shifted at random. torchvision downloads the data to --data-dir.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from datamodules import CIFAR10
from lightning_primo import FLOPs, Metric, ParameterCount, Prior, Result, Search
from models import ConvNetClassifier, conv_net_space
from recipes.common import Recipe, pooling_changes, search_arguments, search_parser

PRIORS = {
    "val_error": Prior({"lr": 1e-3, "batch_size": 128, "n_conv": 3, "batch_norm": True}, confidence=0.75),
    "flops": Prior({"n_filters_1": 16, "kernel_size": 3, "global_average_pooling": True}, confidence=0.5),
}


def parser() -> argparse.ArgumentParser:
    """The parser of the command line."""
    command = search_parser(__doc__, directory="runs/cifar10", full_trainings=25, epochs=(1, 27))
    command.add_argument("--data-dir", type=Path, default=Path("data"), help="images (default: %(default)s)")
    command.add_argument("--no-download", action="store_true", help="fail if the images are not in --data-dir")
    return command


def run(options: argparse.Namespace) -> Result:
    """Search, as the options of `parser` say."""
    search = Search(
        conv_net_space(min_batch_size=32, optional_pooling=pooling_changes(options)),
        module=lambda config: ConvNetClassifier(**config, in_channels=3, image_size=32, n_classes=10, cosine=True),
        datamodule=lambda config: CIFAR10(
            options.data_dir,
            batch_size=config["batch_size"],
            flip=True,
            crop_padding=4,
            download=not options.no_download,
        ),
        objectives=[
            Metric("val_error", mode="min", reference=1.0),
            FLOPs(reference=1e9),
            ParameterCount(reference=1e8),
        ],
        **search_arguments(options, PRIORS),
    )
    return search.run(full_trainings=options.full_trainings, progress=not options.quiet)


RECIPE = Recipe(parser=parser, run=run)
main = RECIPE.main

if __name__ == "__main__":
    main()
