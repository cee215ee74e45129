"""Trainings that are taken over from another trial, with other hyperparameters."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from lightning.pytorch.callbacks import Callback
from torch import nn
from torch.utils.data import DataLoader
from torchmetrics import MinMetric
from torchmetrics.classification import BinaryAccuracy, MulticlassConfusionMatrix

from lightning_primo.layout import epoch_checkpoint, trial_directory
from lightning_primo.objectives import Metric
from lightning_primo.problem.trial import Evaluation, Status
from lightning_primo.training import Job, run_job
from lightning_primo.training.checkpoint.epoch_checkpoints import EpochCheckpoints
from lightning_primo.training.inheritance import TakeOver
from tests.tiny import N_SAMPLES, Augmented, Data, Manual, Net, OneCycle, Plateau, same_state
from tests.training.jobs import curve, make_job, state


class Nobody:
    """Knows of no trials, as an algorithm before its search."""

    def __init__(self) -> None:
        self.trials: list[Any] = []

    def may_fork(self, trial: Any, epoch: int) -> bool:
        return False


def kept(directory: Path, trial_id: int, epoch: int) -> None:
    EpochCheckpoints(directory, Nobody()).keep(trial_id, epoch)


def trained(directory: Path, epoch: int, **fields: Any) -> Evaluation:
    """Trial 0 up to `epoch`, whose checkpoint is kept."""
    evaluation = run_job(make_job(trial_directory(directory, 0), epoch, **fields))
    kept(directory, 0, epoch)
    return evaluation


def fork_job(directory: Path, start: int, epoch: int, config: dict[str, Any], **fields: Any) -> Job:
    """Trial 1, which takes over the training of trial 0."""
    inheritance = TakeOver(
        config=fields.pop("parent", {"lr": 0.02}), directory=trial_directory(directory, 0), epoch=start
    )
    child = trial_directory(directory, 1)
    return make_job(child, epoch, config=config, start_epoch=start, inheritance=inheritance, trial_id=1, **fields)


@pytest.mark.parametrize("module", [Net, Plateau, OneCycle, Manual])
def test_with_the_same_configuration_it_is_as_if_the_parent_had_gone_on(tmp_path: Path, module: type[Net]) -> None:
    whole = run_job(make_job(tmp_path / "whole", 4, module=module))
    first = trained(tmp_path, 2, module=module)
    run_job(make_job(trial_directory(tmp_path, 0), 3, start_epoch=2, module=module))  # the parent itself goes on
    fork = run_job(fork_job(tmp_path, 2, 4, {"lr": 0.02}, module=module))
    assert (fork.status, fork.epoch, fork.cost, list(fork.curve)) == (Status.OK, 4, 2.0, [3, 4])
    assert curve(first, fork) == curve(whole)
    assert same_state(state(tmp_path / "whole"), state(trial_directory(tmp_path, 1)))


def test_it_goes_on_from_its_own_checkpoint_once_it_has_one(tmp_path: Path) -> None:
    trained(tmp_path, 2)
    once = run_job(fork_job(tmp_path, 2, 4, {"lr": 0.05}))
    expected = state(trial_directory(tmp_path, 1))
    other = tmp_path / "other"
    trained(other, 2)
    run_job(fork_job(other, 2, 3, {"lr": 0.05}))
    epoch_checkpoint(trial_directory(other, 0), 2).unlink()
    again = run_job(make_job(trial_directory(other, 1), 4, config={"lr": 0.05}, start_epoch=3, trial_id=1))
    assert again.losses == once.losses
    assert same_state(expected, state(trial_directory(other, 1)))


class Sgd(Net):
    """Momentum and weight decay, a warm-up that begins at zero, and a dropout beside the optimiser."""

    def __init__(self, lr: float = 0.1, momentum: float = 0.9, decay: float = 1e-3, p: float = 0.2) -> None:
        super().__init__(lr)
        self.momentum, self.decay = momentum, decay
        self.net[3] = nn.Dropout(p)

    def configure_optimizers(self) -> Any:
        groups = [
            {"params": self.net[0].parameters(), "lr": self.lr},
            {"params": [*self.net[1].parameters(), *self.net[4].parameters()], "lr": 10 * self.lr, "weight_decay": 0.0},
        ]
        optimizer = torch.optim.SGD(groups, lr=self.lr, momentum=self.momentum, weight_decay=self.decay)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda epoch: min(epoch, 4) / 4)
        return [optimizer], [schedule]


OLD = {"lr": 0.1, "momentum": 0.9, "decay": 1e-3, "p": 0.2}


class Spied(Sgd):
    """Keeps what its first epoch begins with."""

    def on_train_epoch_start(self) -> None:
        optimizer = self.optimizers()
        name = f"begun_{self.current_epoch}.pt"
        torch.save(
            [
                [{key: value for key, value in group.items() if key != "params"} for group in optimizer.param_groups],
                {index: entry["momentum_buffer"] for index, entry in optimizer.state_dict()["state"].items()},
                self.trainer.lr_scheduler_configs[0].scheduler.base_lrs,
                self.net[3].p,
            ],
            Path(self.trainer.default_root_dir) / name,
        )


def begun(directory: Path, epoch: int) -> Any:
    return torch.load(directory / f"begun_{epoch}.pt")


def test_what_the_new_configuration_changes_is_changed_and_nothing_else(tmp_path: Path) -> None:
    trained(tmp_path, 2, module=Spied, config=OLD)
    new = {"lr": 0.4, "momentum": 0.5, "decay": 1e-3, "p": 0.6}
    evaluation = run_job(fork_job(tmp_path, 2, 3, new, module=Spied, parent=OLD))
    assert evaluation.ok, evaluation.reason
    groups, buffers, bases, p = begun(trial_directory(tmp_path, 1), 2)
    # Two of the warm-up's four epochs are over: half of the new learning rates, which began at zero.
    assert [group["lr"] for group in groups] == [0.2, 2.0]
    assert [group["initial_lr"] for group in groups] == bases == [0.4, 4.0]
    assert [group["momentum"] for group in groups] == [0.5, 0.5]
    assert [group["weight_decay"] for group in groups] == [1e-3, 0.0]
    assert p == 0.6
    saved = torch.load(epoch_checkpoint(trial_directory(tmp_path, 0), 2), weights_only=True)["optimizer_states"][0]
    assert len(buffers) == 6
    assert all(torch.equal(buffers[index], saved["state"][index]["momentum_buffer"]) for index in buffers)
    (group, _), *_ = begun_after(tmp_path, new)
    assert group["lr"] == pytest.approx(0.3)  # the schedule goes on from the new base


def begun_after(directory: Path, config: dict[str, Any]) -> Any:
    run_job(make_job(trial_directory(directory, 1), 4, module=Spied, config=config, start_epoch=3, trial_id=1))
    return begun(trial_directory(directory, 1), 3)


def test_a_promotion_changes_nothing(tmp_path: Path) -> None:
    whole = run_job(make_job(tmp_path / "whole", 4, module=Sgd, config=OLD))
    run_job(make_job(tmp_path / "parts", 2, module=Sgd, config=OLD))
    parts = run_job(make_job(tmp_path / "parts", 4, module=Sgd, config=OLD, start_epoch=2))
    assert parts.losses == whole.losses


class Wide(Net):
    def __init__(self, lr: float = 0.02, width: int = 4, kind: str = "Adam") -> None:
        super().__init__(lr, width)
        self.kind = kind

    def configure_optimizers(self) -> Any:
        return getattr(torch.optim, self.kind)(self.parameters(), lr=self.lr)


PARENT = {"lr": 0.02, "width": 4, "kind": "Adam"}


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"width": 5, "lr": 0.1}, "cannot be gone on with when 'width' changes: its weights do not fit this network"),
        ({"kind": "SGD"}, r"when 'kind' changes: .*has the optimizers \[Adam\], but they are configured as \[SGD\]"),
    ],
)
def test_what_must_not_change_is_named(tmp_path: Path, changed: dict[str, Any], reason: str) -> None:
    trained(tmp_path, 2, module=Wide, config=PARENT)
    evaluation = run_job(fork_job(tmp_path, 2, 3, {**PARENT, **changed}, module=Wide, parent=PARENT))
    assert (evaluation.status, evaluation.cost, evaluation.epoch) == (Status.ERROR, 0.0, 2)
    assert re.search(reason, evaluation.reason), evaluation.reason


def test_a_failure_in_its_first_epoch_costs_that_epoch(tmp_path: Path) -> None:
    trained(tmp_path, 1, config={"lr": 0.02})
    config = {"lr": 0.02, "behaviour": "error"}
    evaluation = run_job(fork_job(tmp_path, 1, 3, config))
    assert (evaluation.status, evaluation.cost, dict(evaluation.curve)) == (Status.ERROR, 1.0, {})
    assert "the user's mistake" in evaluation.reason


def test_without_the_parents_checkpoint_it_fails(tmp_path: Path) -> None:
    """Trained from scratch it would be another training than its schedule says, and cost more than it is booked for."""
    fork = run_job(fork_job(tmp_path, 2, 3, {"lr": 0.05}))
    assert (fork.status, fork.cost, dict(fork.curve)) == (Status.ERROR, 0.0, {})
    assert re.search(r"would be taken over after epoch 2, cannot be used: there is none", fork.reason)


def batches_of(config: dict[str, Any]) -> Any:
    return DataLoader(Augmented(), batch_size=config["batch"], shuffle=True), DataLoader(Augmented(), batch_size=4)


def test_the_batch_size_is_that_of_the_data_made_anew(tmp_path: Path) -> None:
    fields = {"module": lambda config: Net(config["lr"]), "data": batches_of}
    parent = {"lr": 0.02, "batch": 4}
    trained(tmp_path, 2, config=parent, **fields)
    fork = run_job(fork_job(tmp_path, 2, 4, {"lr": 0.02, "batch": 2}, parent=parent, **fields))
    assert (fork.status, list(fork.curve)) == (Status.OK, [3, 4])
    steps = state(trial_directory(tmp_path, 1))["optimizer_states"][0]["state"][0]["step"]
    assert steps == 2 * N_SAMPLES / 4 + 2 * N_SAMPLES / 2


def test_other_callbacks_and_data_workers_are_taken_over_too(tmp_path: Path) -> None:
    fields = {"data": Data(workers=1), "trainer": {"accumulate_grad_batches": 2, "precision": "64-true"}}
    whole = run_job(make_job(tmp_path / "whole", 3, **fields))
    trained(tmp_path, 1, **fields)
    fork = run_job(fork_job(tmp_path, 1, 3, {"lr": 0.02}, **fields))
    assert fork.losses == whole.losses


class Histogram(Net):
    """Follows more than one epoch in metrics, one of which is made by a hyperparameter of training."""

    def __init__(self, lr: float = 0.02, bins: int = 3, threshold: float = 0.5) -> None:
        super().__init__(lr)
        self.best = MinMetric()
        self.counts = MulticlassConfusionMatrix(bins)
        self.accuracy = BinaryAccuracy(threshold)

    def on_validation_epoch_end(self) -> None:
        self.best(float(self.current_epoch))
        self.counts.update(torch.tensor([0, 1]), torch.tensor([0, 0]))
        self.accuracy.update(torch.tensor([0.4, 0.9]), torch.tensor([1, 1]))
        self.log("n_counted", self.counts.confmat.sum().float())
        self.log("n_judged", (self.accuracy.tp + self.accuracy.fn).float())
        self.log("best", self.best.compute())


@pytest.mark.parametrize(
    ("changed", "expected"),
    [({}, [6.0, 6.0]), ({"lr": 0.05}, [6.0, 6.0]), ({"bins": 4}, [2.0, 6.0]), ({"threshold": 0.3}, [6.0, 2.0])],
)
def test_a_metric_that_is_made_otherwise_begins_anew(
    tmp_path: Path, changed: dict[str, Any], expected: list[float]
) -> None:
    fields = {"module": Histogram, "objectives": [Metric(name) for name in ("n_counted", "n_judged", "best")]}
    assert trained(tmp_path, 2, **fields).curve[2] == (4.0, 4.0, 0.0)
    child = run_job(fork_job(tmp_path, 2, 3, {"lr": 0.02, **changed}, **fields))
    assert child.ok, child.reason
    assert child.curve[3] == (*expected, 0.0)


class KeepsBest(Callback):
    """Keeps one file, of the best epoch."""

    def __init__(self) -> None:
        self.best, self.path, self.kept = float("inf"), "", {}

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        value = float(trainer.callback_metrics["val_loss"])
        if value < self.best:
            for path in filter(None, (self.path, *self.kept)):
                Path(path).unlink(missing_ok=True)
            self.best, self.path = value, str(Path(trainer.default_root_dir) / f"best-{trainer.current_epoch}")
            self.kept = {self.path + ".kept": value}
            for path in (self.path, *self.kept):
                Path(path).touch()


def test_a_parents_files_are_none_of_the_child(tmp_path: Path) -> None:
    job: dict[str, Any] = {"trainer": {"callbacks": [KeepsBest()]}}
    trained(tmp_path, 2, **job)
    before = sorted(trial_directory(tmp_path, 0).glob("best-*"))
    fork = run_job(fork_job(tmp_path, 2, 4, {"lr": 0.02}, **job))
    assert fork.status is Status.OK, fork.reason
    assert sorted(trial_directory(tmp_path, 0).glob("best-*")) == before != []
    assert len(list(trial_directory(tmp_path, 1).glob("best-*"))) == 2
    run_job(make_job(trial_directory(tmp_path, 0), 4, start_epoch=2, **job))  # the parent knows its own
    assert len(list(trial_directory(tmp_path, 0).glob("best-*"))) == 2
