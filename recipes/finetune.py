"""Fine-tuning a language model by low-rank adaptation: validation loss, trained parameters and speed, in steps.

Without a network nothing has to be downloaded: a small transformer, built from its configuration, first learns English
from the texts of Python's help, which takes a minute, and is then adapted to the source of Python's standard library.
With ``--model NAME`` a pretrained model of Llama's kind (Llama, Qwen, Mistral, SmolLM, ...) is adapted instead.
Searched are the rank and weight of the adaptation, which layers get one, learning rate, warm-up and batch size.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from ConfigSpace import Categorical, ConfigurationSpace, Float, Integer
from transformers import AutoTokenizer
from typing_extensions import override

from datamodules import TextData, help_topics
from datamodules.text import Tokenizer, utf8
from lightning_primo import Metric, ParameterCount, Prior, Result, Search
from lightning_primo.measure.devices import device_name, resolve_device, synchronize
from lightning_primo.measure.inputs import call, to_device
from lightning_primo.measure.isolation import isolated, placed
from lightning_primo.measure.turns import quiet_machine
from lightning_primo.objectives import CostCallback
from lightning_primo.problem import Kind, Objective
from lightning_primo.problem.place import Place
from lightning_primo.timing import time_calls
from models.low_rank import TARGETS, LowRankAdaptation, SmallLanguageModel
from recipes.common import Recipe, search_arguments, search_parser

PRIORS = {
    "val_loss": Prior({"rank": 16, "targets": "all-linear", "lr": 5e-3}, confidence=0.75),
    "trained_parameters": Prior({"rank": 1, "targets": "query-value", "lr": 2e-2}, confidence=0.75),
}


class TrainingSpeed(CostCallback):
    """Passes of a batch forward and backward per second, measured before the training: a cost of one's own.

    Args:
        length: Tokens per text.
    """

    def __init__(self, length: int) -> None:
        super().__init__(
            Objective(name="steps_per_second", mode="max", kind=Kind.MEASURED, log=True),
            example_inputs=lambda config: torch.zeros(config["batch_size"], length, dtype=torch.long),
        )

    @override
    def measure(self, module: torch.nn.Module, inputs: Any) -> float:
        device = resolve_device("auto")
        module, tokens = placed(module, device=device), to_device(inputs, device)

        def step() -> None:
            call(module, tokens).sum().backward()
            synchronize(device)

        with quiet_machine(), isolated(module, training=True):
            self.timing = time_calls(step)
        return 1 / self.timing.median

    @property
    @override
    def deviation(self) -> float:
        return self.timing.deviation / self.timing.median**2

    @property
    @override
    def noisy(self) -> bool:
        return True

    @property
    @override
    def measured_on(self) -> Place:
        return self.place()

    @override
    def place(self) -> Place:
        device = resolve_device("auto")
        return {"device": device.type, "hardware": device_name(device), "threads": str(torch.get_num_threads())}


def parser() -> argparse.ArgumentParser:
    """The parser of the command line."""
    command = search_parser(__doc__, directory="runs/finetune", full_trainings=12, steps=(15, 135))
    command.add_argument(
        "--model",
        metavar="NAME",
        help="a pretrained model, by its name on the Hugging Face Hub or its folder (default: the small one)",
    )
    command.add_argument(
        "--pretraining-steps",
        type=int,
        default=200,
        metavar="N",
        help="steps in which the small model learns English, once per directory (default: %(default)s)",
    )
    command.add_argument("--length", type=int, default=64, metavar="N", help="tokens per text (default: %(default)s)")
    return command


def space() -> ConfigurationSpace:
    """How a model is adapted, and how the adaptation is trained."""
    made = ConfigurationSpace()
    made.add(
        Integer("rank", (1, 32), log=True, default=8),
        Integer("alpha", (1, 64), log=True, default=16),
        Categorical("targets", list(TARGETS), default="query-value"),
        Float("lr", (3e-4, 3e-2), log=True, default=3e-3),
        Float("warmup", (0, 0.3), default=0.1),
        Integer("batch_size", (4, 16), log=True, default=8),
    )
    return made


def run(options: argparse.Namespace) -> Result:
    """Search, as the options of `parser` say."""
    base = options.model or str(_pretrained(options))
    tokenizer = utf8 if options.model is None else _tokenizer(options.model)
    search = Search(
        space(),
        module=lambda config: LowRankAdaptation(
            base, **{name: config[name] for name in config if name != "batch_size"}
        ),
        datamodule=lambda config: TextData(batch_size=config["batch_size"], length=options.length, tokenizer=tokenizer),
        objectives=[
            Metric("val_loss"),
            ParameterCount(name="trained_parameters"),
            TrainingSpeed(options.length),
        ],
        **search_arguments(options, PRIORS),
    )
    return search.run(full_trainings=options.full_trainings, progress=not options.quiet)


def _pretrained(options: argparse.Namespace) -> Path:
    """The weights of the small model, which are trained where they are not yet there."""
    file: Path = (options.directory / f"base-{options.pretraining_steps}.pt").resolve()
    if file.exists():
        return file
    with torch.random.fork_rng():
        torch.manual_seed(0)
        module = SmallLanguageModel()
        trainer = pl.Trainer(
            max_steps=options.pretraining_steps,
            accelerator="auto",
            logger=False,
            enable_checkpointing=False,
            enable_model_summary=False,
            enable_progress_bar=not options.quiet,
            limit_val_batches=0,
        )
        trainer.fit(module, TextData(help_topics, length=options.length))
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_suffix(".part")
    torch.save(module.model.state_dict(), part)
    part.replace(file)
    return file


def _tokenizer(name: str) -> Tokenizer:
    made = AutoTokenizer.from_pretrained(name)

    def tokens(text: str) -> list[int]:
        numbers: list[int] = made(text)["input_ids"]
        return numbers

    return tokens


RECIPE = Recipe(parser=parser, run=run)
main = RECIPE.main

if __name__ == "__main__":
    main()
