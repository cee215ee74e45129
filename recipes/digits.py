"""Handwritten digits: validation error against the size of a convolutional network, in under three minutes.

The images come with scikit-learn, so nothing is downloaded. Architecture (layers, widths, kernel, normalisation,
pooling) and training (learning rate, batch size) are searched jointly, with an expert prior per objective; the training
images are shifted at random, so that larger networks have something to learn. The latency on this machine is a third
objective if asked for: it depends on what else the machine does.
"""

from __future__ import annotations

import argparse

from datamodules import Digits
from lightning_primo import Latency, Metric, ParameterCount, Prior, Result, Search
from models import ConvNetClassifier, conv_net_space
from recipes.common import Recipe, pooling_changes, search_arguments, search_parser

_TRAINED_WELL = {"kernel_size": 3, "batch_norm": True, "global_average_pooling": False, "batch_size": 64}
PRIORS = {
    "val_error": Prior(
        _TRAINED_WELL | {"n_conv": 2, "n_filters_1": 32, "n_filters_2": 32, "n_fc": 1, "n_neurons_1": 64, "lr": 5e-3},
        confidence=0.75,
    ),
    "parameters": Prior(
        _TRAINED_WELL | {"n_conv": 1, "n_filters_1": 4, "n_fc": 1, "n_neurons_1": 8, "lr": 1e-2},
        confidence=0.75,
    ),
}


def parser() -> argparse.ArgumentParser:
    """The parser of the command line."""
    command = search_parser(__doc__, directory="runs/digits", full_trainings=24, epochs=(6, 18))
    command.add_argument("--latency", action="store_true", help="search for a short latency on this CPU too")
    return command


def run(options: argparse.Namespace) -> Result:
    """Search, as the options of `parser` say."""
    space = conv_net_space(
        max_conv=2,
        min_filters=4,
        max_filters=64,
        max_fc=2,
        max_neurons=64,
        min_batch_size=64,
        max_batch_size=128,
        min_lr=1e-3,
        max_lr=1e-1,
        optional_pooling=pooling_changes(options),
    )
    search = Search(
        space,
        module=lambda config: ConvNetClassifier(**config, in_channels=1, image_size=8, n_classes=10, cosine=True),
        datamodule=lambda config: Digits(batch_size=config["batch_size"], crop_padding=1),
        objectives=[
            Metric("val_error", mode="min", reference=0.2),  # what errs more is of no interest, however small
            ParameterCount(reference=1e6),
            *([Latency("cpu", batch_size=1, reference=1e-2)] if options.latency else []),
        ],
        **search_arguments(options, PRIORS),
    )
    return search.run(full_trainings=options.full_trainings, progress=not options.quiet)


RECIPE = Recipe(parser=parser, run=run)
main = RECIPE.main

if __name__ == "__main__":
    main()
