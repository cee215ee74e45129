"""What the networks of a front reach on the test data, which the search has not seen; kept in its directory."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import lightning.pytorch as pl
from lightning.pytorch.callbacks import Checkpoint, ProgressBar
from lightning.pytorch.utilities.model_helpers import is_overridden

from lightning_primo.errors import PrimoError
from lightning_primo.factory import Factory
from lightning_primo.layout import tests_file, trial_directory, write_atomically
from lightning_primo.results.loading import load_module
from lightning_primo.results.trial_result import TrialResult
from lightning_primo.training.job import build_data
from lightning_primo.training.loggers import listed
from lightning_primo.training.options import TrainerArguments
from lightning_primo.training.parallelism import on_one_device
from lightning_primo.training.process_state import process_kept, quiet_lightning
from lightning_primo.training.trainer import make_trainer, trainer_arguments


def read_tests(directory: Path) -> dict[int, dict[str, float]]:
    """The test metrics that are known in the search of a directory, by trial.

    Raises:
        PrimoError: If their file is damaged.
    """
    path = tests_file(directory)
    if not path.exists():
        return {}
    try:
        return {int(trial_id): dict(metrics) for trial_id, metrics in json.loads(path.read_text()).items()}
    except (ValueError, AttributeError, TypeError) as error:
        raise PrimoError(f"{str(path)!r} is damaged ({error}); delete it to test the front again") from error


def run_tests(
    directory: Path,
    trials: Iterable[TrialResult],
    build: Factory,
    *,
    seed: int,
    trainer: TrainerArguments,
    folds: int | None = None,
) -> None:
    """Run trials on the test data, and keep the metrics of each as soon as they are there.

    Args:
        directory: The search's directory.
        trials: The trials.
        build: How their modules and data are built.
        seed: The search's, with which a split that is drawn at random is the one that a trial was trained on.
        trainer: The user's arguments of the Trainer, or a function of the configuration that gives them.
        folds: On how many folds they were trained. Their weights are those of the first one, whose training data may
            say how the test data are normalised.

    Raises:
        PrimoError: If a trial cannot be loaded, there is no test data, a module has no test step, or it logs nothing
            there.
    """
    tests = read_tests(directory)
    for trial in trials:
        module = load_module(directory, trial, build)
        folder = trial_directory(directory, trial.id)
        fold = None if folds is None else (0, folds)
        tests[trial.id] = _metrics(module, trial, build, seed=seed, trainer=trainer, directory=folder, fold=fold)
        write_atomically(tests_file(directory), json.dumps(tests, indent=2) + "\n")


def _metrics(
    module: pl.LightningModule,
    trial: TrialResult,
    build: Factory,
    *,
    seed: int,
    trainer: TrainerArguments,
    directory: Path,
    fold: tuple[int, int] | None,
) -> dict[str, float]:
    """What a module logs in one pass over the test data, which leaves no files behind."""
    data = build.data(trial.config)
    sources = [module] if data is None else [data, module]
    if not any(is_overridden("test_dataloader", source) for source in sources):
        raise PrimoError(
            f"there is no test data: {' and '.join(type(source).__name__ for source in sources)} have no "
            "test_dataloader; add one, or give 'datamodule' as dataloaders with the key 'test'"
        )
    if not is_overridden("test_step", module):
        raise PrimoError(f"{type(module).__name__} has no test_step, so there is nothing to run on the test data")
    arguments = trainer_arguments(trainer, trial.config)
    given = listed(arguments.get("callbacks"))
    callbacks = [callback for callback in given if not isinstance(callback, (Checkpoint, ProgressBar))]
    silent = {"callbacks": callbacks, "logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    with process_kept(), quiet_lightning():
        runner = make_trainer({**on_one_device(arguments), **silent}, directory=directory, limits={"max_epochs": 1})
        results = runner.test(module, datamodule=build_data(build, trial.config, seed, fold), verbose=False)
    metrics = {name: float(value) for result in results for name, value in result.items()}
    if not metrics:
        raise PrimoError(f"{type(module).__name__} logs nothing in its test_step; call self.log there")
    return {name if name.startswith("test") else f"test_{name}": value for name, value in metrics.items()}
