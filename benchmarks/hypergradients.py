"""Weight decay and label smoothing of a network for scikit-learn's digits: tuned in one training, or searched over.

One training that tunes both by hypergradients of the validation loss is set against random search over both, whose best
of `--trials` trainings by validation loss counts; what is compared are the losses and errors on the test images, which
neither has seen, and the seconds. The plain training with the values that both start from is there too. All train the
same network on the same few images, so that it overfits, for the same number of epochs.

    python -m benchmarks.hypergradients --seeds 5
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, TensorDataset

from datamodules import Digits
from lightning_primo.hypergradients import (
    ConjugateGradient,
    ImplicitHypergradients,
    Interval,
    NeumannSeries,
    Positive,
    UnrolledHypergradients,
)
from lightning_primo.training.process_state import quiet_lightning

DECAYS, SMOOTHINGS = (1e-6, 1e-1), (0.0, 0.5)
START = {"weight_decay": 1e-4, "label_smoothing": 0.05}
DOMAINS = {"weight_decay": Positive(), "label_smoothing": Interval(0, 0.5)}


class Network(pl.LightningModule):
    """A perceptron with 128 hidden units, whose loss has a penalty and smoothed labels.

    Args:
        weight_decay: Of the squared weights, in the loss.
        label_smoothing: From 0 to 1.
    """

    weight_decay: Tensor
    label_smoothing: Tensor

    def __init__(self, *, weight_decay: float, label_smoothing: float) -> None:
        super().__init__()
        self.network = nn.Sequential(nn.Flatten(), nn.Linear(64, 128), nn.Tanh(), nn.Linear(128, 10))
        self.register_buffer("weight_decay", torch.tensor(weight_decay))
        self.register_buffer("label_smoothing", torch.tensor(label_smoothing))

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        """Cross entropy with smoothed labels, and the penalty."""
        images, labels = batch
        log_p = self.network(images).log_softmax(-1)
        hit, mean = log_p.gather(1, labels[:, None]).mean(), log_p.mean()
        penalty = torch.stack([weight.square().sum() for weight in self.network.parameters()]).sum()
        smoothing = self.label_smoothing
        loss: Tensor = -(1 - smoothing) * hit - smoothing * mean + self.weight_decay / 2 * penalty
        return loss

    def validation_step(self, batch: Any, batch_idx: int) -> Tensor:
        """Cross entropy."""
        images, labels = batch
        loss: Tensor = cross_entropy(self.network(images), labels)
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Adam."""
        return torch.optim.Adam(self.parameters(), lr=3e-3)


@dataclass(frozen=True)
class Outcome:
    """What came of a way to choose the two values: losses in nats, errors from 0 to 1, and what it took."""

    val_loss: float
    test_loss: float
    test_error: float
    weight_decay: float
    label_smoothing: float
    seconds: float
    trainings: int = 1


@dataclass(frozen=True)
class Images:
    """The data of one seed: few images to train on."""

    train: TensorDataset
    val: TensorDataset
    test: TensorDataset

    @classmethod
    def of(cls, seed: int, n_train: int) -> Images:
        """The first `n_train` training images, and all for validation and test, normalised."""
        splits = Digits(seed=seed).splits()

        def part(split: tuple[Tensor, Tensor], n: int | None = None) -> TensorDataset:
            images, labels = split
            return TensorDataset((images[:n] - splits.mean[0]) / splits.std[0], labels[:n])

        return cls(part(splits.train, n_train), part(splits.val), part(splits.test))


def train(images: Images, values: dict[str, float], callbacks: list[Callback], *, seed: int, epochs: int) -> Outcome:
    """One training."""
    pl.seed_everything(seed, verbose=False)
    module = Network(**values)
    started = time.perf_counter()
    with quiet_lightning():
        trainer = pl.Trainer(
            accelerator="cpu",
            devices=1,
            max_epochs=epochs,
            limit_val_batches=0 if not callbacks else 1,
            check_val_every_n_epoch=epochs,
            num_sanity_val_steps=0,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            callbacks=callbacks,
        )
        loader = DataLoader(images.train, 64, shuffle=True)
        trainer.fit(module, loader, DataLoader(images.val, len(images.val)))
    seconds = time.perf_counter() - started
    val_loss, _ = evaluated(module, images.val)
    test_loss, test_error = evaluated(module, images.test)
    decay, smoothing = module.weight_decay.item(), module.label_smoothing.item()
    return Outcome(val_loss, test_loss, test_error, decay, smoothing, seconds)


def evaluated(module: Network, data: TensorDataset) -> tuple[float, float]:
    """Cross entropy and error."""
    images, labels = data.tensors
    with torch.no_grad():
        logits = module.network.eval()(images)
    return float(cross_entropy(logits, labels)), float((logits.argmax(1) != labels).float().mean())


def searched(images: Images, *, seed: int, epochs: int, trials: int) -> Outcome:
    """The best of random search by validation loss: the decay on a logarithmic scale, the smoothing uniform."""
    rng = np.random.default_rng(seed)
    outcomes = []
    for _ in range(trials):
        decay = math.exp(rng.uniform(math.log(DECAYS[0]), math.log(DECAYS[1])))
        values = {"weight_decay": decay, "label_smoothing": rng.uniform(*SMOOTHINGS)}
        outcomes.append(train(images, values, [], seed=seed, epochs=epochs))
    best = min(outcomes, key=lambda outcome: outcome.val_loss)
    seconds = sum(outcome.seconds for outcome in outcomes)
    return Outcome(**{**vars(best), "seconds": seconds, "trainings": trials})


Tuner = Callable[[], Callback]
TUNERS: dict[str, Tuner] = {
    "implicit, Neumann": lambda: ImplicitHypergradients(DOMAINS, every=2, solver=NeumannSeries(10, scale=0.1)),
    "implicit, CG": lambda: ImplicitHypergradients(DOMAINS, every=2, solver=ConjugateGradient(10, damping=0.1)),
    "unrolled, 5 steps": lambda: UnrolledHypergradients(DOMAINS, steps=5),
}


def outcomes_of(seed: int, options: argparse.Namespace) -> dict[str, Outcome]:
    """What came of each way, with one split and one start."""
    images = Images.of(seed, options.images)
    common = {"seed": seed, "epochs": options.epochs}
    found = {"plain": train(images, START, [], **common)}
    for name, tuner in TUNERS.items():
        found[name] = train(images, START, [tuner()], **common)
    found["random search"] = searched(images, trials=options.trials, **common)
    return found


def mean(outcomes: Sequence[Outcome], name: str) -> str:
    """Mean and standard error over the seeds."""
    values = [float(getattr(outcome, name)) for outcome in outcomes]
    spread = statistics.stdev(values) / len(values) ** 0.5 if len(values) > 1 else math.nan
    return f"{statistics.mean(values):.4f} ± {spread:.4f}"


def parser() -> argparse.ArgumentParser:
    """The parser of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5, help="splits, initial weights and draws")
    parser.add_argument("--trials", type=int, default=10, help="trainings of random search")
    parser.add_argument("--epochs", type=int, default=100, help="of each training")
    parser.add_argument("--images", type=int, default=200, help="to train on")
    parser.add_argument(
        "--output", type=Path, help="file of the seeds that are done, to go on from after an interruption"
    )
    return parser


def main() -> None:
    """Print the table."""
    options = parser().parse_args()
    found: list[dict[str, Outcome]] = []
    if options.output is not None and options.output.exists():
        lines = map(json.loads, options.output.read_text().splitlines())
        found = [{name: Outcome(**fields) for name, fields in line.items()} for line in lines]
    for seed in range(len(found), options.seeds):
        found.append(outcomes_of(seed, options))
        if options.output is not None:
            with options.output.open("a") as file:
                file.write(json.dumps({name: vars(outcome) for name, outcome in found[-1].items()}) + "\n")
    print(f"{'':18s} {'trainings':>9s} {'seconds':>8s}  {'val loss':17s} {'test loss':17s} {'test error':17s} values")
    for name in found[0]:
        outcomes = [outcomes[name] for outcomes in found]
        seconds = statistics.mean(outcome.seconds for outcome in outcomes)
        values = ", ".join(f"{outcome.weight_decay:.1e}/{outcome.label_smoothing:.2f}" for outcome in outcomes)
        print(
            f"{name:18s} {outcomes[0].trainings:9d} {seconds:8.1f}  {mean(outcomes, 'val_loss'):17s} "
            f"{mean(outcomes, 'test_loss'):17s} {mean(outcomes, 'test_error'):17s} {values}"
        )


if __name__ == "__main__":
    main()
