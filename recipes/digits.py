"""Handwritten digits: validation error, size and CPU latency of a convolutional network, in a minute or two.

The images come with scikit-learn, so nothing is downloaded. Architecture (layers, widths, kernel, normalisation,
pooling) and training (learning rate, batch size) are searched jointly, with an expert prior per objective.
"""

from __future__ import annotations

import argparse

from datamodules import Digits
from lightning_primo import Latency, Metric, ParameterCount, Prior, Result, Search
from models import ConvNetClassifier, conv_net_space
from recipes.common import Recipe, pooling_changes, search_arguments, search_parser

PRIORS = {
    "val_error": Prior({"lr": 3e-3, "batch_size": 32, "batch_norm": True, "n_fc": 1}, confidence=0.75),
    "parameters": Prior({"n_conv": 1, "n_filters_1": 16, "global_average_pooling": True, "n_fc": 1}, confidence=0.5),
}


def parser() -> argparse.ArgumentParser:
    """The parser of the command line."""
    return search_parser(__doc__, directory="runs/digits", full_trainings=12, epochs=(1, 9))


def run(options: argparse.Namespace) -> Result:
    """Search, as the options of `parser` say."""
    space = conv_net_space(
        max_conv=2,
        max_filters=64,
        max_neurons=128,
        min_batch_size=16,
        max_batch_size=256,
        optional_pooling=pooling_changes(options),
    )
    search = Search(
        space,
        module=lambda config: ConvNetClassifier(**config, in_channels=1, image_size=8, n_classes=10),
        datamodule=lambda config: Digits(batch_size=config["batch_size"]),
        objectives=[
            Metric("val_error", mode="min", reference=1.0),
            ParameterCount(reference=1e6),
            Latency("cpu", batch_size=1, reference=1e-2),
        ],
        **search_arguments(options, PRIORS),
    )
    return search.run(full_trainings=options.full_trainings, progress=not options.quiet)


RECIPE = Recipe(parser=parser, run=run)
main = RECIPE.main

if __name__ == "__main__":
    main()
