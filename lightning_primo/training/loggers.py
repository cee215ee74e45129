"""The loggers of one trial: each writes into the trial's folder, or has a run of its own at its service."""

from __future__ import annotations

import copy
import functools
import json
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import CSVLogger, Logger, MLFlowLogger, TensorBoardLogger, WandbLogger
from lightning.pytorch.utilities import rank_zero_only

from lightning_primo.layout import runs_file

_RUNNING = ("_experiment", "_mlflow_client", "_initialized")


@dataclass(frozen=True)
class LoggersOfTrials:
    """Makes the loggers of a trial from those that the user gave for all: a function ``directory -> loggers``.

    Unlike a `WandbLogger` itself it can be copied and pickled without starting a run.

    Args:
        given: The user's loggers, or what is needed to copy them.
    """

    given: tuple[Logger | _Unstarted, ...]

    @classmethod
    def of(cls, loggers: list[Logger]) -> LoggersOfTrials:
        """The function for the user's `loggers`."""
        services = (WandbLogger, MLFlowLogger)
        return cls(tuple(_Unstarted.of(item) if isinstance(item, services) else item for item in loggers))

    def __call__(self, directory: Path) -> list[Logger]:
        """The loggers of the trial in `directory`."""
        runs = _Runs(runs_file(directory))
        made: list[Logger] = []
        for index, item in enumerate(self.given):
            logger = item.copy() if isinstance(item, _Unstarted) else copy.deepcopy(item)
            _move(logger, directory, functools.partial(runs.id, str(index)))
            made.append(logger)
        return made


@dataclass(frozen=True)
class _Unstarted:
    """A logger without its run, which W&B's starts where it is copied or pickled, and without MLflow's connection."""

    kind: type[WandbLogger | MLFlowLogger]
    state: Mapping[str, Any]
    client: type[Any] | None

    @classmethod
    def of(cls, logger: WandbLogger | MLFlowLogger) -> _Unstarted:
        state = {name: value for name, value in vars(logger).items() if name not in _RUNNING}
        return cls(type(logger), state, type(logger._mlflow_client) if isinstance(logger, MLFlowLogger) else None)

    def copy(self) -> Logger:
        logger = self.kind.__new__(self.kind)
        vars(logger).update(copy.deepcopy(dict(self.state)))
        if isinstance(logger, WandbLogger):
            logger._experiment = None
        elif self.client is not None:
            logger._mlflow_client, logger._initialized = self.client(logger._tracking_uri), False
        return logger


class _Runs:
    """The runs that a trial has at services, by the logger's place, so that a continued trial goes on with them."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def id(self, key: str, start: Callable[[], str]) -> str:
        """The id of the run that was started before, or of one that is started now."""
        try:
            known: dict[str, str] = json.loads(self._path.read_text())
        except (OSError, ValueError):
            known = {}
        if key not in known and getattr(rank_zero_only, "rank", 0) == 0:
            known[key] = start()
            self._path.write_text(json.dumps(known))
        return known.get(key, "")


def make_loggers(logger: Any, directory: Path) -> Any:
    """The loggers of the trial in `directory`, as `Trainer` takes them.

    Args:
        logger: What the user gave: False for none, None or True for a CSV file, a Logger or several, or a function
            ``directory -> Logger``.
        directory: The trial's own.
    """
    if logger is False:
        return False
    if logger is None or logger is True:
        return CSVLogger(directory, name="logs")
    if callable(logger) and not isinstance(logger, Logger):
        return logger(directory)
    return LoggersOfTrials.of(listed(logger))(directory)


def per_trial(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The Trainer's `arguments` with loggers that can be copied and pickled."""
    logger = arguments.get("logger")
    if logger is None or isinstance(logger, bool) or (callable(logger) and not isinstance(logger, Logger)):
        return dict(arguments)
    return {**arguments, "logger": LoggersOfTrials.of(listed(logger))}


def close_loggers(loggers: list[Logger], *, failed: bool) -> None:
    """End the runs that would otherwise be taken for the next trial's."""
    for logger in loggers:
        run = logger._experiment if isinstance(logger, WandbLogger) else None
        if run is not None and run.id == vars(logger)["_wandb_init"]["id"]:  # else it is one that the user began
            run.finish(exit_code=int(failed))


def listed(value: Any) -> list[Any]:
    """None, one item or several, as a list."""
    if value is None:
        return []
    return list(value) if isinstance(value, (list, tuple, set)) else [value]


def _move(logger: Logger, directory: Path, run_id: Callable[[Callable[[], str]], str]) -> None:
    """Make `logger`, a copy already, that of the trial in `directory`; those of other services are left as they are."""
    if isinstance(logger, (CSVLogger, TensorBoardLogger)):
        logger._root_dir = str(directory)
        logger._version = None  # the next free one in this directory: no continued trial deletes its earlier logs
        if isinstance(logger, CSVLogger):
            logger._save_dir = str(directory)
    elif isinstance(logger, WandbLogger):
        init = logger._wandb_init
        init["name"] = logger._name = init["name"] or directory.name
        given = init["id"]
        init["id"] = logger._id = f"{given}-{directory.name}" if given else run_id(lambda: uuid.uuid4().hex[:12])
        if init["dir"] in (None, "."):
            init["dir"] = logger._save_dir = str(directory)
    elif isinstance(logger, MLFlowLogger):
        logger._run_name = logger._run_name or directory.name
        logger._run_id = None  # one that was given would be that of all trials
        logger._run_id = run_id(lambda: str(logger.run_id)) or None
