"""Modules with hyperparameters, data and Trainers for the tests of hypergradients; all in double precision."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from lightning_primo.training.process_state import quiet_lightning

DOUBLE = torch.float64
N, D = 24, 4


def regression(seed: int) -> TensorDataset:
    """`N x D` inputs and `N` noisy linear targets."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(N, D, dtype=DOUBLE, generator=generator)
    noise = torch.randn(N, dtype=DOUBLE, generator=generator)
    return TensorDataset(x, x @ torch.tensor([1.0, -2.0, 0.5, 0.0], dtype=DOUBLE) + 2 * noise)


TRAIN, VAL = regression(6), regression(7)  # for which the best penalty is neither 0 nor large


class Ridge(pl.LightningModule):
    """The mean squared error and `penalty |w|^2`, which it logs."""

    def __init__(self, penalty: float = 0.3, optimizer: Callable[..., Any] | None = None) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(D, dtype=DOUBLE))
        self.register_buffer("penalty", torch.tensor(penalty, dtype=DOUBLE))
        self.make_optimizer = optimizer or (lambda parameters: torch.optim.SGD(parameters, lr=0.35))

    def mean_squared_error(self, batch: Sequence[Tensor]) -> Tensor:
        x, y = batch
        return (x @ self.weight - y).square().mean()

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        loss = self.mean_squared_error(batch) + self.penalty * self.weight.square().sum()
        self.log("train_loss", loss, on_step=True, on_epoch=True)
        return loss

    def validation_step(self, batch: Any, batch_idx: int) -> Any:
        loss = self.mean_squared_error(batch)
        self.log("val_loss", loss)
        return {"loss": loss}

    def configure_optimizers(self) -> Any:
        return self.make_optimizer(self.parameters())


def ridge_solution(penalty: Tensor) -> Tensor:
    x, y = TRAIN.tensors
    return torch.linalg.solve(x.T @ x / N + penalty * torch.eye(D, dtype=DOUBLE), x.T @ y / N)


def ridge_held_out(penalty: Tensor) -> Tensor:
    """The held-out loss at the solution, in closed form and differentiable by the penalty."""
    x, y = VAL.tensors
    return (x @ ridge_solution(penalty) - y).square().mean()


class Network(pl.LightningModule):
    """A small network with batch normalisation and dropout, a penalty and two weights of the loss."""

    def __init__(self, optimizer: Callable[..., Any], *, penalty: float = 0.1, dropout: float = 0.0) -> None:
        super().__init__()
        # Without momentum the running statistics stay as they are, whatever the weights become.
        norm = nn.BatchNorm1d(5, momentum=0.0)
        self.net = nn.Sequential(nn.Linear(D, 5), norm, nn.Tanh(), nn.Dropout(dropout), nn.Linear(5, 1)).double()
        self.register_buffer("penalty", torch.tensor(penalty, dtype=DOUBLE))
        self.register_buffer("share", torch.tensor([0.7, 0.4], dtype=DOUBLE))
        self.make_optimizer = optimizer

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        x, y = batch
        errors = self.net(x).squeeze(-1) - y
        penalty = sum(weight.square().sum() for weight in self.net.parameters())
        loss = self.share[0] * errors.square().mean() + self.share[1] * errors.abs().mean() + self.penalty * penalty
        self.log("train_loss", loss)
        return loss

    def validation_step(self, batch: Any, batch_idx: int) -> Any:
        x, y = batch
        loss = (self.net(x).squeeze(-1) - y).square().mean()
        self.log("val_loss", loss)
        return loss

    def configure_optimizers(self) -> Any:
        return self.make_optimizer(self.parameters())


def make_trainer(*callbacks: pl.Callback, **arguments: Any) -> pl.Trainer:
    return pl.Trainer(
        **{
            "accelerator": "cpu",
            "precision": "64-true",
            "max_epochs": 1,
            "logger": False,
            "enable_checkpointing": False,
            "enable_progress_bar": False,
            "enable_model_summary": False,
            "num_sanity_val_steps": 0,
            **arguments,
        },
        callbacks=list(callbacks),
    )


def fit(
    module: pl.LightningModule, *callbacks: pl.Callback, batches: Any = None, ckpt_path: Any = None, **arguments: Any
) -> pl.Trainer:
    """Train on `batches` of indices, by default the whole data once."""
    train = DataLoader(TRAIN, batch_sampler=batches or [list(range(N))])
    with quiet_lightning():
        trainer = make_trainer(*callbacks, **arguments)
        trainer.fit(module, train, DataLoader(VAL, N), ckpt_path=ckpt_path)
    return trainer
