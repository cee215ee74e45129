"""Trainings by steps: a level is so many optimiser steps, and promotions go on inside an epoch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from lightning.pytorch.callbacks import Callback, EarlyStopping, GradientAccumulationScheduler
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, IterableDataset

from lightning_primo.callbacks import reproducible_steps
from lightning_primo.errors import CheckpointWarning, MetricNotLoggedError, RepeatedDataWarning
from lightning_primo.objectives import Metric, ParameterCount, TrainingTime
from lightning_primo.problem import Steps
from lightning_primo.problem.trial import Evaluation, Status
from lightning_primo.training import run_job
from tests.tiny import N_SAMPLES, Augmented, Data, Manual, Net, OneCycle, Plateau, same_state
from tests.training.jobs import curve, make_job, state


class StepPlateau(Plateau):
    """A plateau schedule that is stepped with every optimiser step, by the last validation's value."""

    def configure_optimizers(self) -> Any:
        configured = super().configure_optimizers()
        configured["lr_scheduler"] |= {"interval": "step", "strict": False, "frequency": 2}
        return configured


class Adversaries(Manual):
    """Two optimisers that are stepped by hand, twice per batch together, and judged in validation."""

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.log("val_loss", self.loss(batch), batch_size=4)

    def training_step(self, batch: Any, batch_idx: int) -> None:
        for optimizer in self.optimizers():
            optimizer.zero_grad()
            self.manual_backward(self.loss(batch))
            optimizer.step()


def train(directory: Path, level: int, *, every: int = 5, full: int = 4, **fields: Any) -> Evaluation:
    return run_job(make_job(directory, level, unit=Steps(every), max_epochs=full, **fields))


def promoted_equals_uninterrupted(tmp_path: Path, *, rung: int = 2, full: int = 4, **fields: Any) -> Evaluation:
    whole = train(tmp_path / "whole", full, full=full, **fields)
    parts = [
        train(tmp_path / "parts", rung, full=full, **fields),
        train(tmp_path / "parts", full, full=full, start_epoch=rung, **fields),
    ]
    assert [evaluation.status for evaluation in (whole, *parts)] == [Status.OK] * 3, [whole, *parts]
    assert whole.curve.keys() == set(range(1, full + 1))
    assert curve(*parts) == dict(whole.curve)
    assert same_state(state(tmp_path / "whole"), state(tmp_path / "parts"))
    assert [part.cost for part in parts] == [rung, full - rung]
    return whole


@pytest.mark.parametrize(
    ("kind", "every"),  # inside epochs of 3 batches, at their ends, and both
    [
        ("batched", 2),
        ("map", 3),
        ("map", 5),
        *(pytest.param(*case, marks=pytest.mark.slow) for case in [("map", 2), ("batched", 3), ("batched", 5)]),
    ],
)
def test_promoted_equals_uninterrupted(tmp_path: Path, kind: str, every: int) -> None:
    promoted_equals_uninterrupted(tmp_path, data=Data(kind), every=every)


@pytest.mark.parametrize("module", [Plateau, StepPlateau, OneCycle, Adversaries])
def test_promoted_equals_uninterrupted_with_every_kind_of_schedule(tmp_path: Path, module: type[Net]) -> None:
    promoted_equals_uninterrupted(tmp_path, module=module, rung=1, full=3, every=2)


class SwapsBack(Net):
    """Changes its weights at random where a validation ends, as one does that is judged with other weights."""

    def on_validation_end(self) -> None:
        with torch.no_grad():
            for parameter in self.net[0].parameters():
                parameter.mul_(0.5 + torch.rand(()))


@pytest.mark.filterwarnings("ignore:the weights that SwapsBack was validated with")
def test_what_a_module_does_where_a_validation_ends_is_in_the_checkpoint(tmp_path: Path) -> None:
    promoted_equals_uninterrupted(tmp_path, module=SwapsBack, rung=1, full=2)


@pytest.mark.parametrize("kind", ["map", pytest.param("batched", marks=pytest.mark.slow)])
def test_promoted_equals_uninterrupted_with_workers(tmp_path: Path, kind: str) -> None:
    promoted_equals_uninterrupted(tmp_path, data=Data(kind, workers=2), rung=1, full=2, every=4)


@pytest.mark.parametrize(
    "trainer", [{"limit_train_batches": 2}, pytest.param({"accumulate_grad_batches": 2}, marks=pytest.mark.slow)]
)
def test_promoted_equals_uninterrupted_where_steps_are_no_batches(tmp_path: Path, trainer: dict[str, Any]) -> None:
    whole = promoted_equals_uninterrupted(tmp_path, trainer=trainer, rung=1, full=2, every=3)
    assert whole.epoch == 2


def test_a_schedule_of_accumulation_changes_what_a_step_takes(tmp_path: Path) -> None:
    callbacks = [GradientAccumulationScheduler({0: 1, 2: 3})]
    promoted_equals_uninterrupted(tmp_path, trainer={"callbacks": callbacks}, full=3, every=4)


class Watched(Callback):
    """Notes at which steps validation ends, and the steps that there are to be."""

    def __init__(self, seen: list[tuple[int, int]], planned: list[Any]) -> None:
        self.seen, self.planned = seen, planned

    def __deepcopy__(self, memo: Any) -> Watched:
        return self

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.planned.append(trainer.estimated_stepping_batches)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.seen.append((trainer.global_step, trainer.fit_loop.total_batch_idx + 1))


def test_validations_fall_on_levels_and_schedules_see_the_full_training(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    planned: list[Any] = []
    trainer = {"callbacks": [Watched(seen, planned)], "accumulate_grad_batches": 2}
    train(tmp_path, 2, every=5, trainer=trainer)
    # Of 3 batches to an epoch the third makes a step of its own: 2 steps for 3 batches.
    assert seen == [(5, 8), (10, 15)]
    assert planned == [20]


def test_each_optimiser_of_a_manual_optimisation_counts(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    evaluation = train(tmp_path, 2, every=3, module=Adversaries, trainer={"callbacks": [Watched(seen, [])]})
    assert seen == [(4, 2), (6, 3)]  # the first batch that reaches 3 steps makes 4
    assert list(evaluation.curve) == [1, 2]


def test_the_best_level_counts_and_stopping_early_ends_a_training(tmp_path: Path) -> None:
    stop = EarlyStopping("val_loss", patience=0, mode="max")
    fields = {"objectives": (Metric("val_loss", at="best"),), "trainer": {"callbacks": [stop]}}
    evaluation = train(tmp_path, 4, every=4, **fields)
    assert (evaluation.finished, evaluation.epoch, evaluation.cost) == (True, 2, 2)
    assert evaluation.measurements["best_epoch"] == 2
    again = train(tmp_path, 4, every=4, start_epoch=2, **fields)
    assert (again.finished, again.epoch, again.losses, again.cost) == (True, 2, evaluation.losses, 0)


@pytest.mark.parametrize("target", [1, 4])
def test_stopping_early_after_a_batch_that_goes_beyond_a_level_counts_as_that_level(
    tmp_path: Path, target: int
) -> None:
    stop = EarlyStopping("val_loss", stopping_threshold=1e9)  # in the first validation, at step 4
    evaluation = train(tmp_path, target, every=3, module=Adversaries, trainer={"callbacks": [stop]})
    assert (evaluation.status, evaluation.epoch, evaluation.finished) == (Status.OK, 1, True)
    assert (list(evaluation.curve), evaluation.cost) == ([1], 1)


def test_a_batch_of_more_steps_than_a_level_is_refused(tmp_path: Path) -> None:
    evaluation = train(tmp_path, 1, every=1, module=Adversaries)
    assert evaluation.status is Status.ERROR
    assert "a batch makes 2 optimiser steps, but a training by steps is to validate every 1" in evaluation.reason


class StopsAtBatch(Callback):
    def on_train_batch_end(self, trainer: pl.Trainer, *arguments: Any) -> None:
        trainer.should_stop = trainer.global_step == 6


def test_a_training_that_ends_between_levels_counts_as_one_of_the_level_begun(tmp_path: Path) -> None:
    evaluation = train(tmp_path, 4, every=4, trainer={"callbacks": [StopsAtBatch()]})
    assert (evaluation.status, evaluation.epoch, evaluation.finished) == (Status.OK, 2, True)


def test_what_costs_and_what_takes_time_is_read_in_validations(tmp_path: Path) -> None:
    objectives = (Metric("val_loss"), ParameterCount(), TrainingTime())
    evaluation = train(tmp_path, 2, objectives=objectives)
    seconds = [losses[2] for losses in evaluation.curve.values()]
    assert 0 < seconds[0] < seconds[1]
    assert evaluation.losses[1] == sum(p.numel() for p in Net().parameters())


class Diverges(Net):
    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        loss: Tensor = super().training_step(batch, batch_idx)
        return loss * float("nan") if self.trainer.global_step == 7 else loss


def test_a_training_that_diverges_inside_a_level_has_paid_for_it(tmp_path: Path) -> None:
    evaluation = train(tmp_path, 4, module=Diverges)
    assert (evaluation.status, evaluation.epoch, evaluation.cost) == (Status.DIVERGED, 1, 2)


class FullOnce(Net):
    """Runs out of memory after its second validation, unless its batches are smaller."""

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        if self.trainer.global_step == 7 and len(batch[0]) == 4:
            raise RuntimeError("CUDA error: out of memory")
        loss: Tensor = super().training_step(batch, batch_idx)
        return loss


class Plain(Dataset[tuple[Tensor, Tensor]]):
    def __len__(self) -> int:
        return N_SAMPLES

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        x = torch.tensor([index / N_SAMPLES, 1.0])
        return x, x.sum(-1, keepdim=True)


class Seen(Callback):
    """Notes the samples of each step."""

    def __init__(self, steps: dict[int, list[float]]) -> None:
        self.steps = steps

    def __deepcopy__(self, memo: Any) -> Seen:
        return self

    def on_train_batch_start(self, trainer: pl.Trainer, pl_module: Any, batch: Any, batch_idx: int) -> None:
        known = self.steps.setdefault(trainer.global_step, [])
        known += [round(value * N_SAMPLES) for value in batch[0][:, 0].tolist()]


class PlainData(Data):
    def train_dataloader(self) -> Any:
        return DataLoader(Plain(), batch_size=4, shuffle=True)


def test_memory_that_runs_out_after_a_checkpoint_leaves_the_batches_what_they_are(tmp_path: Path) -> None:
    whole: dict[int, list[float]] = {}
    divided: dict[int, list[float]] = {}
    train(tmp_path / "whole", 2, data=PlainData(), trainer={"callbacks": [Seen(whole)]})
    evaluation = train(
        tmp_path / "divided",
        2,
        module=FullOnce,
        data=PlainData(),
        trainer={"callbacks": [Seen(divided)]},
        checkpoint_every_seconds=0.0,
    )
    assert (evaluation.status, evaluation.measurements) == (Status.OK, {"micro_batches": 2.0})
    # Steps after the checkpoint are trained again.
    assert {step: samples[-4:] for step, samples in divided.items()} == whole
    assert {step for step, samples in divided.items() if len(samples) > 4} == {5, 6, 7}


class Stream(IterableDataset[tuple[Tensor, Tensor]]):
    """Endless, and the same each time."""

    def __iter__(self) -> Any:
        source, generator = Augmented(), torch.Generator().manual_seed(3)
        while True:
            index = int(torch.randint(N_SAMPLES, (), generator=generator))
            x = torch.tensor([index / N_SAMPLES, torch.rand((), generator=generator)])
            yield x, x.sum(-1, keepdim=True)
            assert len(source) == N_SAMPLES


class StreamData(Data):
    def train_dataloader(self) -> Any:
        return DataLoader(Stream(), batch_size=4, num_workers=self.workers)


@pytest.mark.parametrize("workers", [0, pytest.param(2, marks=pytest.mark.slow)])
def test_an_endless_stream_is_read_again_up_to_where_it_was(tmp_path: Path, workers: int) -> None:
    reproducible_steps._warn_of_reading_again.cache_clear()
    with pytest.warns(RepeatedDataWarning, match="loads the batches that it has trained on once more"):
        promoted_equals_uninterrupted(tmp_path, module=Plateau, data=StreamData(workers=workers), rung=1, full=2)


@pytest.mark.filterwarnings("ignore::lightning_primo.errors.RepeatedDataWarning")
def test_several_loaders_are_read_again(tmp_path: Path) -> None:
    class Several(Data):
        def train_dataloader(self) -> Any:
            return [DataLoader(Plain(), batch_size=4, shuffle=True), DataLoader(Plain(), batch_size=3, shuffle=True)]

    promoted_equals_uninterrupted(tmp_path, data=Several(), rung=1, full=2)


class Twice(DataLoader[Any]):
    """Goes through its data twice."""

    def __iter__(self) -> Any:
        yield from super().__iter__()
        yield from super().__iter__()

    def __len__(self) -> int:
        return 2 * super().__len__()


def test_a_loader_that_has_its_own_way_through_the_data_is_read_again(tmp_path: Path) -> None:
    class Repeated(Data):
        def train_dataloader(self) -> Any:
            return Twice(Plain(), batch_size=4, shuffle=True)

    reproducible_steps._warn_of_reading_again.cache_clear()
    with pytest.warns(RepeatedDataWarning):
        promoted_equals_uninterrupted(tmp_path, data=Repeated(), rung=1, full=2)


@pytest.mark.filterwarnings("ignore:'set_vital' is deprecated")
def test_a_loader_with_a_state_goes_on_by_it(tmp_path: Path) -> None:
    stateful = pytest.importorskip("torchdata.stateful_dataloader")

    class Stateful(Data):
        def train_dataloader(self) -> Any:
            return stateful.StatefulDataLoader(Plain(), batch_size=4, shuffle=True)

    promoted_equals_uninterrupted(tmp_path, data=Stateful(), rung=1, full=2)


class Counted(IterableDataset[tuple[Tensor, Tensor]]):
    """A stream without a length that knows where it is; `read` counts what was read of it."""

    def __init__(self, read: list[int]) -> None:
        self.read = read
        self.position = 0

    def __iter__(self) -> Any:
        while self.position < 10 * N_SAMPLES:
            self.position += 1
            self.read.append(self.position)
            x = torch.tensor([self.position % 7 / 7, self.position % 5 / 5])
            yield x, x.sum(-1, keepdim=True)

    def state_dict(self) -> dict[str, Any]:
        return {"position": self.position}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.position = state["position"]


@pytest.mark.filterwarnings("ignore:'set_vital' is deprecated")
def test_a_stream_with_a_state_goes_on_by_it_and_is_not_read_again(tmp_path: Path) -> None:
    stateful = pytest.importorskip("torchdata.stateful_dataloader")
    read: list[int] = []

    class Stateful(Data):
        def train_dataloader(self) -> Any:
            return stateful.StatefulDataLoader(Counted(read), batch_size=4)

    promoted_equals_uninterrupted(tmp_path, module=Plateau, data=Stateful())
    whole = 4 * (20 + 1)  # samples of 20 steps, and of a batch ahead
    assert read[:whole] == list(range(1, whole + 1))
    assert read[whole:] == [*range(1, 45), *range(41, whole + 1)]  # but for the batch ahead nothing comes twice


def test_a_metric_of_the_training_alone_is_none_by_steps(tmp_path: Path) -> None:
    with pytest.raises(MetricNotLoggedError, match="judged where it validates"):
        train(tmp_path, 1, objectives=(Metric("train_loss"),))


@pytest.mark.filterwarnings("ignore:You defined a `validation_step` but have no")
def test_without_validation_there_is_no_training_by_steps(tmp_path: Path) -> None:
    evaluation = train(tmp_path, 1, data=Data(val=False))
    assert evaluation.status is Status.ERROR
    assert "has no validation here" in evaluation.reason


def test_another_unit_is_another_training(tmp_path: Path) -> None:
    train(tmp_path, 1)
    with pytest.warns(UserWarning, match="belongs to another trial"):
        evaluation = run_job(make_job(tmp_path, 1, max_epochs=4))
    assert evaluation.cost == 1


def test_what_is_lost_is_said_in_steps(tmp_path: Path) -> None:
    with pytest.warns(CheckpointWarning, match="trial 4 was trained for 5 steps, but"):
        train(tmp_path, 2, full=2, start_epoch=1, every=5)
