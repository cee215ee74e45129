from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from lightning.pytorch.callbacks import Callback, StochasticWeightAveraging
from lightning.pytorch.loggers import CSVLogger, Logger

from lightning_primo.errors import InvalidArgumentError, LateAveragingWarning, UnknownNameError
from lightning_primo.layout import checkpoint_file
from lightning_primo.objectives import ParameterCount
from lightning_primo.training import check_trainer_arguments, run_job
from lightning_primo.training import trainer as trainer_module
from lightning_primo.training.out_of_memory.micro_batches import MicroBatches
from lightning_primo.training.process_state import quiet_lightning
from lightning_primo.training.trainer import make_trainer
from tests.training.jobs import make_job


class Service(Logger):
    """A logger that is not bound to a directory."""

    def __init__(self, seen: list[Any]) -> None:
        super().__init__()
        self.seen = seen

    @property
    def name(self) -> str:
        return "service"

    @property
    def version(self) -> int:
        return 0

    def log_metrics(self, metrics: Any, step: int | None = None) -> None:
        self.seen.append(metrics)

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        return None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"default_root_dir": "x"}, "'directory'"),
        ({"fast_dev_run": True}, "limit_train_batches"),
        ({"enable_checkpointing": False}, "checkpoints"),
        ({"barebones": True}, "metrics"),
        ({"check_val_every_n_epoch": 0}, "check_val_every_n_epoch"),
        ({"callbacks": [3]}, "got 3"),
        ({"callbacks": ParameterCount()}, "'objectives'"),
        ({"callbacks": [MicroBatches(2)]}, "must not hold MicroBatches: .*retry_out_of_memory"),
        ({"logger": ["x"]}, "got 'x'"),
    ],
)
def test_arguments_that_cannot_be_given(arguments: Any, message: str) -> None:
    with pytest.raises(InvalidArgumentError, match=message):
        check_trainer_arguments(arguments)


def test_unknown_arguments_and_good_ones() -> None:
    with pytest.raises(UnknownNameError, match=r"'gpus'.*'accelerator'"):
        check_trainer_arguments({"gpus": 1})
    check_trainer_arguments(
        {"accelerator": "cpu", "callbacks": Callback(), "logger": CSVLogger, "check_val_every_n_epoch": 1}
    )


def test_defaults_give_way_to_the_users_arguments(tmp_path: Path) -> None:
    with quiet_lightning():
        trainer = make_trainer(
            {"accelerator": "cpu", "num_sanity_val_steps": 2, "logger": False},
            directory=tmp_path,
            limits={"max_epochs": 7},
        )
    assert (trainer.max_epochs, trainer.num_sanity_val_steps, trainer.logger) == (7, 2, None)
    assert trainer.default_root_dir == str(tmp_path)


def files(directory: Path) -> set[str]:
    return {str(path.relative_to(directory)) for path in directory.rglob("metrics.csv")}


def steps_shown(directory: Path) -> list[int]:
    """The steps of the validation loss in TensorBoard's run of a trial."""
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    (folder,) = {path.parent for path in directory.rglob("events.out.*")}
    run = accumulator.EventAccumulator(str(folder))
    run.Reload()
    return [event.step for event in run.Scalars("val_loss")]


def test_a_trial_that_goes_on_is_one_run_of_the_default_logger(tmp_path: Path) -> None:
    for epoch in (1, 3):
        assert run_job(make_job(tmp_path, epoch)).ok
    (folder,) = {path.parent.relative_to(tmp_path) for path in tmp_path.rglob("events.out.*")}
    assert folder == Path("logs/version_0")
    first, *others = steps_shown(tmp_path)
    assert others == [first + (first + 1) * (i + 1) for i in range(2)]


def test_what_is_trained_again_is_logged_once(tmp_path: Path) -> None:
    """As after a kill: what came after the checkpoint, and then all of it."""
    assert run_job(make_job(tmp_path, 1)).ok
    kept = checkpoint_file(tmp_path).read_bytes()
    assert run_job(make_job(tmp_path, 3)).ok
    shown = steps_shown(tmp_path)
    checkpoint_file(tmp_path).write_bytes(kept)
    assert run_job(make_job(tmp_path, 3)).ok
    assert steps_shown(tmp_path) == shown
    checkpoint_file(tmp_path).unlink()
    assert run_job(make_job(tmp_path, 3)).ok
    assert steps_shown(tmp_path) == shown


def test_the_users_loggers_are_copied_into_the_trials_directory(tmp_path: Path) -> None:
    seen: list[Any] = []

    class Shared(Service):
        def __deepcopy__(self, memo: Any) -> Shared:
            return Shared(self.seen)

    mine = CSVLogger(tmp_path / "elsewhere", name="mine", version=3)
    for i in range(2):
        evaluation = run_job(make_job(tmp_path / f"trial-{i}", 1, trainer={"logger": [mine, Shared(seen)]}))
        assert evaluation.ok, evaluation.reason
    assert files(tmp_path) == {f"trial-{i}/mine/version_0/metrics.csv" for i in range(2)}
    assert any("val_loss" in metrics for metrics in seen)
    assert mine.save_dir == str(tmp_path / "elsewhere")


def test_a_function_makes_the_logger_of_each_trial(tmp_path: Path) -> None:
    run_job(make_job(tmp_path, 1, trainer={"logger": lambda directory: CSVLogger(directory, name="made")}))
    assert files(tmp_path) == {"made/version_0/metrics.csv"}


def test_averages_that_come_after_the_last_validation_are_told_of() -> None:
    trainer_module._warn_of_averaging_in_the_end.cache_clear()
    with pytest.warns(LateAveragingWarning, match="EMAWeightAveraging"):
        check_trainer_arguments({"callbacks": [StochasticWeightAveraging(0.1)]})
