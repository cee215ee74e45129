"""The loggers of one trial: each writes into the trial's folder, or has a run of its own at its service.

Loggers of files may be given for all trials, those of services as a function that makes one for each:

```python
def logger(directory):  # .../trials/00012
    group = search_name(directory)
    return WandbLogger(project="digits", group=group, name=directory.name, id=run_id(directory), save_dir=directory)


def logger(directory):
    search = MLFlowLogger("digits", run_name=search_name(directory))
    make = functools.partial(MLFlowLogger, "digits", run_name=directory.name, tags=mlflow_parent(directory, search))
    return make(run_id=run_id(directory, start=lambda: make().run_id))
```

The trials of a search are a group at W&B, and at MLflow the children of the search's own run.
"""

from __future__ import annotations

import copy
import importlib.util
import json
import sys
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import CSVLogger, Logger, MLFlowLogger, TensorBoardLogger, WandbLogger
from lightning.pytorch.utilities import rank_zero_only

from lightning_primo.errors import InvalidArgumentError, StorageError
from lightning_primo.file_lock import FileLock
from lightning_primo.layout import runs_file, runs_lock_file, search_directory, write_atomically
from lightning_primo.namespaces import foreign_hint

_LONGEST_BEGIN = 120.0  # seconds that a run may take to begin

SERVICES = (WandbLogger, MLFlowLogger)
"""Loggers that have one run each, so that trials cannot share them."""

_WANDB = "lambda directory: WandbLogger(..., name=directory.name, id=run_id(directory), save_dir=directory)"
_MLFLOW = (
    "def logger(directory): make = functools.partial(MLFlowLogger, ..., run_name=directory.name); "
    "return make(run_id=run_id(directory, start=lambda: make().run_id))"
)


def check_loggers(logger: Any) -> None:
    """Raise an InvalidArgumentError if the Trainer's argument `logger` cannot be that of all trials."""
    if logger is None or isinstance(logger, bool) or _is_function(logger):
        return
    for item in listed(logger):
        if not isinstance(item, Logger):
            raise InvalidArgumentError(
                "'logger' in 'trainer' must be a Logger, a list of these, a function directory -> Logger, True "
                f"or False, got {item!r}{foreign_hint(type(item))}"
            )
        if isinstance(item, SERVICES):
            raise InvalidArgumentError(
                f"'logger' in 'trainer' holds a {type(item).__name__}, whose run would be that of all trials; give a "
                f"function that makes the logger of one, with run_id from {__name__}, so that a continued trial goes "
                f"on with its run: {_MLFLOW if isinstance(item, MLFlowLogger) else _WANDB}"
            )


def make_loggers(logger: Any, directory: Path) -> Any:
    """The loggers of the trial in `directory`, as `Trainer` takes them.

    Args:
        logger: What the user gave: False for none, None or True for TensorBoard where it is installed and a CSV file
            elsewhere, a Logger or several, which are copied, or a function ``directory -> Logger``.
        directory: The trial's own.
    """
    if logger is False:
        return False
    if logger is None or logger is True:  # as Lightning does
        return _moved((TensorBoardLogger if _has_tensorboard() else CSVLogger)(str(directory), name="logs"), directory)
    if _is_function(logger):
        return logger(directory)
    return [_moved(copy.deepcopy(item), directory) for item in listed(logger)]


def run_id(directory: Path, *, key: str = "run", start: Callable[[], str | None] | None = None) -> str | None:
    """The id of a trial's run at a service, the same whenever the trial is continued; or of a search's own run.

    Args:
        directory: The trial's own, or the search's, where the id is kept.
        key: Tells several runs of a trial apart.
        start: Begins a run, where it is the service that makes its id; by default a new id is made up.

    Returns:
        The id; in processes of a trial other than rank zero, which log nothing, perhaps None.
    """
    path = runs_file(directory)
    try:
        known: dict[str, str] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        known = {}
    if key not in known and getattr(rank_zero_only, "rank", 0) == 0:
        begun = uuid.uuid4().hex[:12] if start is None else start()
        if begun is not None:
            known[key] = begun
            write_atomically(path, json.dumps(known))
    return known.get(key)


def search_name(directory: Path) -> str:
    """The name of the search that a trial belongs to: that of the search's directory.

    Args:
        directory: The trial's own.
    """
    return search_directory(directory).name


def mlflow_parent(directory: Path, logger: MLFlowLogger, *, key: str = "run") -> dict[str, str]:
    """The tag by which a trial's run at MLflow is below that of its search, for the `tags` of an `MLFlowLogger`.

    Args:
        directory: The trial's own.
        logger: Begins the search's run, where no trial has yet; give it the experiment and the `tracking_uri` of the
            trials', and a `run_name`. It is ended at once: it holds nothing but the trials' runs.
        key: Tells several services apart.

    Raises:
        StorageError: If the search's directory cannot be written to.
    """

    def begin() -> str | None:
        begun = logger.run_id
        if begun is not None:
            logger.experiment.set_terminated(begun)
        return begun

    search = search_directory(directory)
    lock = FileLock(runs_lock_file(search))
    try:  # two workers may begin their first trials at once
        if not lock.acquire(seconds=_LONGEST_BEGIN):
            raise StorageError(
                f"{str(runs_lock_file(search))!r} is locked by another trial that begins a run, for good"
            )
        parent = run_id(search, key=key, start=begin)
    finally:
        lock.close()
    return {} if parent is None else {"mlflow.parentRunId": parent}


def open_run() -> Any:
    """The run of W&B that this process has, which its next `WandbLogger` would go on with; None if there is none."""
    return getattr(sys.modules.get("wandb"), "run", None)


def close_run(before: Any, *, failed: bool) -> None:
    """End the run that was begun after `before` was the open one: it would be taken for the next trial's."""
    run = open_run()
    if run is not None and run is not before:
        run.finish(exit_code=int(failed))


def listed(value: Any) -> list[Any]:
    """None, one item or several, as a list."""
    if value is None:
        return []
    return list(value) if isinstance(value, (list, tuple, set)) else [value]


def _has_tensorboard() -> bool:
    return any(importlib.util.find_spec(name) is not None for name in ("tensorboard", "tensorboardX"))


def _is_function(logger: Any) -> bool:
    return callable(logger) and not isinstance(logger, Logger)


def _moved(logger: Logger, directory: Path) -> Logger:
    """A logger of files made to write into `directory`; it keeps its options, which only private attributes hold."""
    if isinstance(logger, (CSVLogger, TensorBoardLogger)):
        logger._root_dir = str(directory)
        logger._version = 0  # one run for TensorBoard, see `TensorBoardRuns`
        if isinstance(logger, CSVLogger):
            logger._save_dir = str(directory)
            logger._version = None  # the next free one in this directory: it would delete its earlier logs
    return logger
