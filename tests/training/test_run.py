from __future__ import annotations

import math
import random
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import pytest
import torch
from lightning.pytorch.callbacks import Callback, EarlyStopping, ModelCheckpoint
from torch import nn
from torch.nn.utils import prune
from torch.utils.data import DataLoader

from lightning_primo.errors import CheckpointWarning
from lightning_primo.layout import CHECKPOINT
from lightning_primo.objectives import CostCallback, Latency, Metric, ParameterCount, TrainingTime
from lightning_primo.problem.objective import Kind, Objective
from lightning_primo.problem.trial import Status
from lightning_primo.training import Job, crashed, run_job
from lightning_primo.training.checkpoint.record import load_weights, read_weights
from tests.tiny import Augmented, Data, Manual, Net, NoValidation, OneCycle, Plateau, loader, same_state
from tests.training.jobs import curve, make_job, state


def promoted_equals_uninterrupted(tmp_path: Path, **fields: Any) -> None:
    whole = run_job(make_job(tmp_path / "whole", 4, **fields))
    first = run_job(make_job(tmp_path / "parts", 1, **fields))
    torch.rand(3), np.random.rand(), random.random()  # noqa: NPY002
    second = run_job(make_job(tmp_path / "parts", 4, start_epoch=1, **fields))
    assert [e.status for e in (whole, first, second)] == [Status.OK] * 3, second.reason
    assert [e.cost for e in (whole, first, second)] == [4.0, 1.0, 3.0]
    assert second.epoch == 4
    assert list(second.curve) == [2, 3, 4]
    assert curve(whole) == curve(first, second)
    assert whole.losses == second.losses == whole.curve[4]
    assert same_state(state(tmp_path / "whole"), state(tmp_path / "parts"))


@pytest.mark.parametrize("module", [Net, Plateau, OneCycle, Manual])
def test_promoted_equals_uninterrupted(tmp_path: Path, module: type[Net]) -> None:
    promoted_equals_uninterrupted(tmp_path, module=module)


def test_promoted_equals_uninterrupted_with_workers(tmp_path: Path) -> None:
    promoted_equals_uninterrupted(tmp_path, data=Data(workers=2))


def test_promoted_equals_uninterrupted_with_loaders_that_all_trials_share(tmp_path: Path) -> None:
    promoted_equals_uninterrupted(tmp_path, data=(loader("list"), DataLoader(Augmented(), batch_size=4)))


@pytest.mark.parametrize("trainer", [{"accumulate_grad_batches": 2}, {"val_check_interval": 1}])
def test_promoted_equals_uninterrupted_with_trainer_arguments(tmp_path: Path, trainer: Any) -> None:
    promoted_equals_uninterrupted(tmp_path, trainer=trainer)


def test_a_job_says_what_it_found(tmp_path: Path) -> None:
    evaluation = run_job(make_job(tmp_path, objectives=(Metric("val_loss", "max"), ParameterCount())))
    assert (evaluation.trial_id, evaluation.epoch, evaluation.status, evaluation.reason) == (4, 3, Status.OK, "")
    assert evaluation.ok
    assert evaluation.losses[0] < 0
    assert evaluation.losses[1] == 25.0
    assert not evaluation.finished
    assert 0 < evaluation.seconds < 60


def test_the_schedule_is_that_of_the_full_budget(tmp_path: Path) -> None:
    run_job(make_job(tmp_path, 2))
    (schedule,) = state(tmp_path)["lr_schedulers"]
    assert (schedule["T_max"], schedule["last_epoch"]) == (5, 2)


def test_the_seed_decides(tmp_path: Path) -> None:
    one, same, other = (
        run_job(make_job(tmp_path / name, 1, seed=seed)) for name, seed in (("a", 1), ("b", 1), ("c", 2))
    )
    assert one.losses == same.losses != other.losses


def test_a_checkpoint_at_the_target_or_beyond_is_not_trained_again(tmp_path: Path) -> None:
    done = run_job(make_job(tmp_path, 3))
    before = (tmp_path / CHECKPOINT).stat().st_mtime_ns
    again = run_job(make_job(tmp_path, 3))
    assert replace(again, seconds=0.0, measuring=0.0) == replace(done, seconds=0.0, measuring=0.0)
    below = run_job(make_job(tmp_path, 2))
    assert (below.epoch, below.losses, below.cost) == (2, done.curve[2], 2.0)
    assert (tmp_path / CHECKPOINT).stat().st_mtime_ns == before


def test_a_missing_checkpoint_is_made_up_for(tmp_path: Path) -> None:
    whole = run_job(make_job(tmp_path / "whole", 3))
    with pytest.warns(CheckpointWarning, match=r"trial 4 was trained for 2 epochs.*missing.*from scratch"):
        again = run_job(make_job(tmp_path / "lost", 3, start_epoch=2))
    assert (again.losses, again.cost, list(again.curve)) == (whole.losses, 1.0, [3])
    assert same_state(state(tmp_path / "whole"), state(tmp_path / "lost"))


def test_a_damaged_checkpoint_and_one_of_another_trial_are_not_used(tmp_path: Path) -> None:
    whole = run_job(make_job(tmp_path, 2))
    path = tmp_path / CHECKPOINT
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.warns(CheckpointWarning, match="cannot be read"):
        assert run_job(make_job(tmp_path, 2, start_epoch=1)).losses == whole.losses
    with pytest.warns(CheckpointWarning, match="another trial"):
        other = run_job(make_job(tmp_path, 2, config={"lr": 0.5}))
    assert other.losses != whole.losses


@pytest.mark.parametrize(
    ("behaviour", "status", "reason"),
    [
        ("diverge", Status.DIVERGED, "the training loss became NaN or infinite in epoch 2 by batch 1"),
        ("oom", Status.OUT_OF_MEMORY, "CUDA error: out of memory"),
        ("memory", Status.OUT_OF_MEMORY, "MemoryError"),
        ("error", Status.ERROR, "ValueError: "),
        ("exit", Status.ERROR, "SystemExit: "),
    ],
)
def test_failures(tmp_path: Path, behaviour: str, status: Status, reason: str) -> None:
    job = make_job(
        tmp_path,
        config={"behaviour": behaviour},
        objectives=(Metric("val_loss"), ParameterCount()),
    )
    evaluation = run_job(job)
    assert evaluation.status is status
    assert evaluation.reason.startswith(reason)
    assert (evaluation.epoch, evaluation.cost, list(evaluation.curve)) == (1, 2.0, [1])
    assert math.isnan(evaluation.losses[0])
    assert evaluation.losses[1] == 25.0
    if status is Status.ERROR:
        assert "tests/tiny.py:" in evaluation.reason.splitlines()[0]
        assert "Traceback" in evaluation.reason


def test_a_failed_promotion_counts_from_where_it_started(tmp_path: Path) -> None:
    class Later(Net):
        def on_train_epoch_start(self) -> None:
            if self.current_epoch == 3:
                raise ValueError

    run_job(make_job(tmp_path, 2, module=Later))
    evaluation = run_job(make_job(tmp_path, 5, module=Later, start_epoch=2))
    assert (evaluation.status, evaluation.epoch, evaluation.cost) == (Status.ERROR, 3, 2.0)
    assert list(evaluation.curve) == [3]


def test_what_fails_before_training_costs_nothing(tmp_path: Path) -> None:
    def build(config: Any) -> Net:
        raise KeyError("width")

    evaluation = run_job(make_job(tmp_path, module=build))
    assert (evaluation.status, evaluation.cost, evaluation.epoch) == (Status.ERROR, 0.0, 0)
    assert evaluation.reason.startswith("KeyError: ")


def test_an_objective_that_is_not_finite_means_diverged(tmp_path: Path) -> None:
    class Unlucky(Net):
        def validation_step(self, batch: Any, batch_idx: int) -> None:
            self.log("val_loss", float("inf") if self.current_epoch == 1 else 1.0, batch_size=1)

    evaluation = run_job(make_job(tmp_path, 2, module=Unlucky))
    assert (evaluation.status, evaluation.reason) == (Status.DIVERGED, "val_loss is inf")
    assert math.isnan(evaluation.losses[0])
    assert evaluation.curve[1] == (1.0,)


def test_a_training_without_data_is_an_error(tmp_path: Path) -> None:
    empty = DataLoader(Augmented(), batch_size=100, drop_last=True)
    with pytest.warns(UserWarning, match="length"):
        evaluation = run_job(make_job(tmp_path, data={"train": empty, "val": DataLoader(Augmented())}))
    assert evaluation.status is Status.ERROR
    assert "no training batches" in evaluation.reason


class Counting(CostCallback):
    """A measured cost that counts its measurements."""

    calls = 0

    def __init__(self, value: float, at_most: float | None = None, name: str = "cost") -> None:
        super().__init__(Objective(name=name, kind=Kind.MEASURED, at_most=at_most))
        self.reading = value

    def measure(self, module: nn.Module, inputs: Any) -> float:
        type(self).calls += 1
        assert inputs.shape == (1, 2)
        torch.rand(7)
        module.net[0].weight.data.zero_()  # type: ignore[index, union-attr, operator]
        return self.reading


class Untrainable(Net):
    def training_step(self, batch: Any, batch_idx: int) -> Any:
        raise AssertionError("trained")


def test_rejected_before_the_first_step(tmp_path: Path) -> None:
    objectives = (Metric("val_loss"), Counting(5.0, at_most=4.0), ParameterCount())
    evaluation = run_job(make_job(tmp_path, module=Untrainable, objectives=objectives))
    assert (evaluation.status, evaluation.reason) == (Status.REJECTED, "cost = 5 exceeds at_most = 4")
    assert (evaluation.cost, evaluation.epoch, evaluation.curve) == (0.0, 0, {})
    assert evaluation.losses[1:] == (5.0, 25.0)
    known = make_job(tmp_path, module=Untrainable, objectives=(ParameterCount(at_most=7),), known={"parameters": 8.0})
    assert run_job(known).reason == "parameters = 8 exceeds at_most = 7"
    constrained = make_job(tmp_path, module=Untrainable, constraints=(ParameterCount(at_most=9),))
    evaluation = run_job(constrained)
    assert (evaluation.status, evaluation.measurements) == (Status.REJECTED, {"parameters": 25.0})


def test_a_cost_is_measured_once_and_leaves_no_trace(tmp_path: Path) -> None:
    Counting.calls = 0
    plain = run_job(make_job(tmp_path / "plain", 3))
    objectives = (Metric("val_loss"), Counting(5.0), TrainingTime())
    for epoch in (1, 3):
        evaluation = run_job(make_job(tmp_path / "measured", epoch, objectives=objectives))
    assert Counting.calls == 1
    assert (evaluation.losses[0], evaluation.losses[1]) == (plain.losses[0], 5.0)
    assert 0 < evaluation.losses[2] < 60
    assert same_state(state(tmp_path / "plain"), state(tmp_path / "measured"))


def test_further_measurements_are_kept(tmp_path: Path) -> None:
    evaluation = run_job(
        make_job(
            tmp_path, 1, objectives=(Metric("val_loss"), Latency("cpu")), constraints=(ParameterCount(at_most=99),)
        )
    )
    assert set(evaluation.measurements) == {"latency_cpu_iqr", "parameters"}
    assert evaluation.losses[1] > 0


def test_a_cost_that_cannot_be_measured_is_the_users_error(tmp_path: Path) -> None:
    class Strange(Net):
        def forward(self, x: Any) -> Any:
            raise TypeError("no")

    evaluation = run_job(make_job(tmp_path, module=Strange, objectives=(Latency("cpu"),)))
    assert (evaluation.status, evaluation.cost) == (Status.ERROR, 0.0)


def test_a_training_that_ends_by_itself(tmp_path: Path) -> None:
    trainer = {"callbacks": [EarlyStopping("val_loss", min_delta=1e9, patience=2)]}
    short = run_job(make_job(tmp_path, 2, trainer=trainer))
    assert (short.epoch, short.finished) == (2, False)
    evaluation = run_job(make_job(tmp_path, 5, start_epoch=2, trainer=trainer))
    assert (evaluation.status, evaluation.epoch, evaluation.finished, evaluation.cost) == (Status.OK, 3, True, 1.0)
    again = run_job(make_job(tmp_path, 5, start_epoch=3, trainer=trainer))
    assert (again.epoch, again.losses, again.finished, again.cost) == (3, evaluation.losses, True, 0.0)


def test_the_full_training_is_not_called_ended_by_itself(tmp_path: Path) -> None:
    evaluation = run_job(make_job(tmp_path, 5))
    assert (evaluation.epoch, evaluation.finished) == (5, False)


def test_a_module_without_validation(tmp_path: Path) -> None:
    evaluation = run_job(
        make_job(tmp_path, 3, module=NoValidation, data=Data(val=False), objectives=(Metric("score"),))
    )
    assert curve(evaluation) == {1: (1.0,), 2: (2.0,), 3: (3.0,)}


def test_a_module_with_its_own_data(tmp_path: Path) -> None:
    class SelfContained(Net):
        def train_dataloader(self) -> Any:
            return loader()

        def val_dataloader(self) -> Any:
            return DataLoader(Augmented(), batch_size=4)

    job = replace(
        make_job(tmp_path, objectives=(Metric("val_loss"), Counting(1.0))), factory=make_job(tmp_path).factory
    )
    whole = run_job(job)
    own = run_job(replace(job, directory=tmp_path / "own", factory=type(job.factory)(SelfContained)))
    assert own.losses == whole.losses


def test_callbacks_of_the_user_are_copied_and_continued(tmp_path: Path) -> None:
    class Counter(Callback):
        def __init__(self) -> None:
            self.epochs = 0

        def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
            self.epochs += 1

    mine = Counter()
    best = ModelCheckpoint(monitor="val_loss", save_top_k=-1, filename="{epoch}")
    trainer = {"callbacks": [mine, best]}
    for epoch in (2, 4):
        assert run_job(make_job(tmp_path, epoch, trainer=trainer)).ok
    assert (mine.epochs, best.best_model_path, best.dirpath) == (0, "", None)
    saved = torch.load(tmp_path / CHECKPOINT, weights_only=True)["callbacks"]
    (models,) = (s["best_k_models"] for key, s in saved.items() if key.startswith("ModelCheckpoint"))
    assert {Path(path).name for path in models} == {f"epoch={i}.ckpt" for i in range(4)}
    assert {path.name for path in (tmp_path / "checkpoints").iterdir()} == {Path(path).name for path in models}


def test_the_process_stays_as_it_was(tmp_path: Path) -> None:
    class Meddling(Net):
        def __init__(self) -> None:
            super().__init__()
            torch.set_default_dtype(torch.float32)
            torch.set_float32_matmul_precision("medium")

    torch.manual_seed(5)
    np.random.seed(5)  # noqa: NPY002
    random.seed(5)
    expected = torch.rand(1), np.random.rand(), random.random()  # noqa: NPY002
    torch.manual_seed(5)
    np.random.seed(5)  # noqa: NPY002
    random.seed(5)
    evaluation = run_job(make_job(tmp_path, 1, module=Meddling, trainer={"deterministic": True}))
    assert evaluation.ok, evaluation.reason
    assert not torch.are_deterministic_algorithms_enabled()
    assert torch.get_float32_matmul_precision() == "highest"
    assert (torch.rand(1), np.random.rand(), random.random()) == expected  # noqa: NPY002


def test_lightning_says_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    run_job(make_job(tmp_path, 1))
    run_job(make_job(tmp_path, 2))
    captured = capfd.readouterr()
    assert captured.out + captured.err == ""


def test_jobs_of_several_threads_do_not_mix(tmp_path: Path) -> None:
    alone = run_job(make_job(tmp_path / "alone", 2))
    with ThreadPoolExecutor(2) as pool:
        both = list(pool.map(run_job, [make_job(tmp_path / str(i), 2) for i in range(2)]))
    assert [e.losses for e in both] == [alone.losses] * 2
    assert threading.active_count() < 20


def test_the_module_is_freed(tmp_path: Path) -> None:
    import weakref

    alive: list[weakref.ref[Any]] = []

    def build(config: Any) -> Net:
        net = Net(behaviour="oom")
        alive.append(weakref.ref(net))
        return net

    evaluation = run_job(make_job(tmp_path, module=build))
    assert evaluation.status is Status.OUT_OF_MEMORY
    assert alive[0]() is None


def test_crashed_keeps_what_is_known(tmp_path: Path) -> None:
    job: Job = make_job(tmp_path, 4, objectives=(Metric("val_loss"), ParameterCount()), known={"parameters": 25.0})
    evaluation = crashed(job, "killed")
    assert (evaluation.status, evaluation.reason, evaluation.cost) == (Status.CRASHED, "killed", 1.0)
    assert evaluation.losses[1] == 25.0
    run_job(replace(job, epoch=2))
    assert crashed(job, "killed").cost == 3.0


class CompiledInSetup(Net):
    def setup(self, stage: str) -> None:
        self.net = torch.compile(self.net, backend="eager")  # type: ignore[assignment]


class CompiledWhereItIsMade(Net):
    def __init__(self, lr: float = 0.02) -> None:
        super().__init__(lr)
        self.net = torch.compile(self.net, backend="eager")  # type: ignore[assignment]


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")  # of dynamo
@pytest.mark.parametrize(
    "module", [CompiledInSetup, CompiledWhereItIsMade, lambda config: torch.compile(Net(**config), backend="eager")]
)
def test_compiled_modules_are_trained_continued_and_loaded(tmp_path: Path, module: Any) -> None:
    plain = run_job(make_job(tmp_path / "plain", 2))
    job = make_job(tmp_path / "compiled", 1, module=module, objectives=(Metric("val_loss"), ParameterCount()))
    first = run_job(job)
    second = run_job(replace(job, epoch=2, start_epoch=1))
    assert (first.status, second.status) == (Status.OK, Status.OK), (first.reason, second.reason)
    assert second.losses == (pytest.approx(plain.losses[0], rel=1e-4), 25.0)
    weights = read_weights(tmp_path / "compiled")
    assert weights.keys() == read_weights(tmp_path / "plain").keys()
    loaded = job.factory.whole_module({"lr": 0.02})
    load_weights(loaded, weights)
    x = torch.rand(3, 2)
    twin = Net(0.02)
    twin.load_state_dict(weights)
    torch.testing.assert_close(loaded.eval()(x), twin.eval()(x))


class PrunesLate(Net):
    def on_train_epoch_start(self) -> None:
        if self.current_epoch == 0:
            prune.l1_unstructured(self.net[0], "weight", amount=0.5)


def test_a_module_that_changes_its_parameters_is_told_how_to_go_on(tmp_path: Path) -> None:
    run_job(make_job(tmp_path, 1, module=PrunesLate))
    evaluation = run_job(make_job(tmp_path, 2, start_epoch=1, module=PrunesLate))
    assert evaluation.status is Status.ERROR
    assert "differ in 'net.0.weight_orig', 'net.0.weight_mask'" in evaluation.reason
    assert "make them in the constructor, as torch.nn.utils.prune.identity" in evaluation.reason


class ToBePruned(PrunesLate):
    def __init__(self, lr: float = 0.02) -> None:
        super().__init__(lr)
        prune.identity(self.net[0], "weight")


def test_one_that_does_so_goes_on(tmp_path: Path) -> None:
    whole = run_job(make_job(tmp_path / "whole", 2, module=ToBePruned))
    parts = [run_job(make_job(tmp_path / "parts", end, module=ToBePruned)) for end in (1, 2)]
    assert [evaluation.status for evaluation in (whole, *parts)] == [Status.OK] * 3, [whole, *parts]
    assert {**parts[0].curve, **parts[1].curve} == dict(whole.curve)


class MadeLate(Net):
    """Makes its layers in configure_model."""

    def __init__(self, lr: float = 0.02) -> None:
        super().__init__(lr)
        del self.net

    def configure_model(self) -> None:
        if not hasattr(self, "net"):
            self.net = torch.nn.Sequential(torch.nn.Linear(2, 1))


class Missing(Data):
    def setup(self, stage: str | None = None) -> None:
        if stage == "fit" and (Path(self.trainer.default_root_dir) / CHECKPOINT).exists():
            raise FileNotFoundError("no such data")


def test_weights_are_not_blamed_for_another_error(tmp_path: Path) -> None:
    run_job(make_job(tmp_path, 1, module=MadeLate, data=Missing))
    evaluation = run_job(make_job(tmp_path, 2, start_epoch=1, module=MadeLate, data=Missing))
    assert evaluation.status is Status.ERROR
    assert evaluation.reason.startswith("FileNotFoundError: no such data")
