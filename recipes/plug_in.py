"""Plugging a search into a project that exists: its module, data, callbacks and loggers stay as they are.

The upper half of this file is the project, a LightningCLI program:

    lightning-primo recipe plug_in fit --model.width 64

The lower half searches it for error against size and latency, its classes untouched:

    lightning-primo recipe plug_in

With a config file no code is needed at all: lightning-primo search --config config.yaml --search search.yaml
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any

import lightning.pytorch as pl
import torch
from ConfigSpace import Categorical, ConfigurationSpace, Float, Integer
from lightning.pytorch.callbacks import Callback, EarlyStopping, LearningRateMonitor
from lightning.pytorch.cli import LightningCLI
from torch import nn
from torchmetrics.classification import MulticlassAccuracy
from typing_extensions import override

from datamodules import Digits
from lightning_primo import Latency, Metric, ParameterCount, Prior, Result, Search
from lightning_primo.problem.trial import Config
from recipes.common import Recipe, search_arguments, search_parser

_SUBCOMMANDS = ("fit", "validate", "test", "predict")


class Perceptron(pl.LightningModule):
    """The project's module: a perceptron with one hidden layer.

    Args:
        width: Units of the hidden layer.
        dropout: Share of them that is dropped.
        lr: Learning rate at the start.
    """

    def __init__(self, width: int = 64, dropout: float = 0.1, lr: float = 0.1) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.network = nn.Sequential(
            nn.Flatten(), nn.Linear(64, width), nn.ReLU(), nn.Dropout(dropout), nn.Linear(width, 10)
        )
        self.accuracy = MulticlassAccuracy(10, average="micro")
        self.example_input_array = torch.zeros(1, 1, 8, 8)

    @override
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.network(images)
        return logits

    @override
    def training_step(self, batch: tuple[torch.Tensor, torch.Tensor], batch_idx: int) -> torch.Tensor:
        images, classes = batch
        return nn.functional.cross_entropy(self(images), classes)

    @override
    def validation_step(self, batch: tuple[torch.Tensor, torch.Tensor], batch_idx: int) -> None:
        images, classes = batch
        logits = self(images)
        self.accuracy(logits, classes)
        self.log("val_loss", nn.functional.cross_entropy(logits, classes))
        self.log("val_accuracy", self.accuracy)

    @override
    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.SGD(self.parameters(), self.hparams["lr"], momentum=0.9)
        return [optimizer], [torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, self.trainer.max_epochs or 1)]


def callbacks() -> list[Callback]:
    """The project's callbacks."""
    return [EarlyStopping("val_loss", patience=3), LearningRateMonitor("epoch")]


def project(arguments: Sequence[str] | None = None, *, prog: str | None = None) -> None:
    """The project's command line.

    Args:
        arguments: ``fit``, ``validate``, … and what LightningCLI takes; default: those of this process.
        prog: What its help and errors call the program; default: its file.
    """
    named: dict[str, Any] = {} if prog is None else {"prog": prog}
    LightningCLI(
        Perceptron,
        Digits,
        args=None if arguments is None else list(arguments),
        seed_everything_default=0,
        parser_kwargs=named,
        trainer_defaults={"max_epochs": 9, "callbacks": callbacks()},
    )


def trainer(config: Config) -> dict[str, Any]:
    """The project's Trainer arguments, one of them searched."""
    return {"accelerator": "auto", "callbacks": callbacks(), "gradient_clip_val": config["gradient_clip_val"]}


def parser() -> argparse.ArgumentParser:
    """The parser of the search's command line."""
    return search_parser(__doc__, directory="runs/plug_in", full_trainings=12, epochs=(1, 9))


def run(options: argparse.Namespace) -> Result:
    """Search the project, as the options of `parser` say."""
    space = ConfigurationSpace()
    space.add(Integer("width", (4, 512), log=True), Float("dropout", (0.0, 0.5)), Float("lr", (1e-3, 1.0), log=True))
    space.add(Categorical("batch_size", [16, 64, 256], ordered=True))
    space.add(Float("gradient_clip_val", (0.1, 10.0), log=True))
    priors = {"val_accuracy": Prior({"lr": 0.1}, confidence=0.75), "parameters": Prior({"width": 16}, confidence=0.5)}
    search = Search(
        space,
        module=Perceptron,  # gets width, dropout and lr
        datamodule=Digits,  # gets batch_size
        objectives=[
            Metric("val_accuracy", mode="max", reference=0.0),
            ParameterCount(reference=1e5),
            Latency("cpu", batch_size=1, reference=1e-2),
        ],
        **{**search_arguments(options, priors), "trainer": trainer},
    )
    return search.run(full_trainings=options.full_trainings, progress=not options.quiet)


RECIPE = Recipe(parser=parser, run=run)


def main(arguments: Sequence[str] | None = None, *, prog: str | None = None) -> None:
    """Run the project where the first argument is one of its subcommands, else the search.

    Args:
        arguments: Of the command line; default: those of this process.
        prog: What its help and errors call the program; default: its file.
    """
    given = sys.argv[1:] if arguments is None else list(arguments)
    if given and given[0] in _SUBCOMMANDS:
        project(arguments, prog=prog)
    else:
        RECIPE.main(given, prog=prog)


if __name__ == "__main__":
    main()
