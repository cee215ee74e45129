"""What a user asks of a search while another process carries it out: that a configuration be tried, or a trial end.

A request is a file, so that it outlives a search that is killed. A configuration waits for the search's next turn: it
is written into the log before the file is taken away, so that one that the log has already was carried out. What ends a
trial is looked for by whatever trains it, wherever that is.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning_primo.algorithms import Algorithm
from lightning_primo.disk import storage_explained, writing_explained
from lightning_primo.display.notes import note
from lightning_primo.errors import InvalidArgumentError, NotSearchingError
from lightning_primo.json_values import plain
from lightning_primo.layout import requests_directory, stop_file, trial_directory, write_atomically
from lightning_primo.problem.trial import Config, fold_events
from lightning_primo.search.stored_search import StoredSearch
from lightning_primo.space import Encoding
from lightning_primo.space.completion import completed
from lightning_primo.store import Store, owner_of


def ask_to_add(directory: str | Path, configs: Mapping[str, Any]) -> list[Config]:
    """Let the search that runs in a directory try configurations next, all of them or none.

    At its next turns they take the place of the configurations that the algorithm would have begun with.

    Args:
        directory: The search's directory.
        configs: By what each is called in errors, its hyperparameters; those that are left out have the space's
            defaults where they are active.

    Returns:
        The configurations with those defaults.

    Raises:
        StoreError: There is no search in the directory, or its file is damaged.
        NotSearchingError: Nobody searches in it now.
        UnknownNameError: For a name that is not in the space.
        InvalidArgumentError: A configuration is not in the space, or a trial has it.
        StorageError: A request cannot be written.
    """
    search = StoredSearch.open(directory)
    _require_owner(search.directory, "no configuration can be tried")
    encoding = Encoding(search.problem.space)
    complete: list[Config] = [completed(config, encoding, where) for where, config in configs.items()]
    _require_new(search, encoding, dict(zip(configs, complete, strict=True)))
    folder = requests_directory(search.directory)
    with writing_explained(f"{str(folder)!r} cannot be written"):
        folder.mkdir(exist_ok=True)
        for config in complete:
            text = json.dumps({name: plain(value) for name, value in config.items()}, allow_nan=False)
            write_atomically(folder / f"{time.time_ns():020d}-{uuid.uuid4().hex}.json", text)
    return complete


def ask_to_stop(directory: str | Path, trial_id: int) -> None:
    """Let a trial that is being trained end at the end of its batch, with the status ``stopped``.

    The algorithm is told of it as of a training that has failed; the trial is not trained any further.

    Args:
        directory: The search's directory.
        trial_id: The trial's number.

    Raises:
        StoreError: There is no search in the directory, or its file is damaged.
        NotSearchingError: Nobody searches in it now.
        InvalidArgumentError: There is no such trial, or it is not being trained.
        StorageError: The request cannot be written.
    """
    search = StoredSearch.open(directory)
    _require_owner(search.directory, "no trial is being trained")
    trials = fold_events(event for event, _ in search.events)
    running = [trial.id for trial in trials if trial.pending is not None]
    if trial_id not in running:
        there = 0 <= trial_id < len(trials)
        state = trials[trial_id].status if there else None
        what = f"is not being trained, it ended as {state.value!r}" if state else "does not exist"
        raise InvalidArgumentError(
            f"'trial' is {trial_id}, which {what}; being trained: {', '.join(map(str, running)) or 'none'}"
        )
    folder = trial_directory(search.directory, trial_id)
    with writing_explained(f"{str(folder)!r} cannot be written"):
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(stop_file(folder), "")


class Requests:
    """The requests of the search that runs, as it takes them.

    Args:
        store: The search's log, which has what was taken before.
        algorithm: What was added before is in its queue, or in its trials.
    """

    def __init__(self, store: Store, algorithm: Algorithm) -> None:
        self._store = store
        self._algorithm = algorithm
        self._folder = requests_directory(store.directory)
        self._added = set(algorithm.encoding.keys(store.added()))

    def take(self, *, elapsed: float) -> None:
        """Record what was asked to be added, and hand it to the algorithm.

        Args:
            elapsed: Seconds that the search has been running.

        Raises:
            StoreError: If the log cannot be written.
            StorageError: If a request cannot be taken away.
        """
        for path in sorted(self._folder.glob("*.json")):
            with storage_explained(f"{str(path)!r} cannot be taken away"):
                try:
                    self._add(json.loads(path.read_text(encoding="utf-8")), path.name, elapsed)
                except ValueError as error:  # it was not left there by `ask_to_add`
                    note(f"a request is left out: {error}")
                path.unlink(missing_ok=True)

    def _add(self, content: Any, name: str, elapsed: float) -> None:
        config = completed(content, self._algorithm.encoding, f"the request {name!r}")
        key = self._algorithm.encoding.key(config)
        if key in self._added:  # carried out before
            return
        if self._algorithm.seen(config):
            note(f"a request is left out: a trial has its configuration already, {dict(config)}")
            return
        self._store.add(config, elapsed=elapsed)
        self._algorithm.enqueue(config)
        self._added.add(key)

    def forget_stop(self, trial_id: int) -> None:
        """Let no earlier wish to stop hold for what a trial is going to be trained for next."""
        stop_file(trial_directory(self._store.directory, trial_id)).unlink(missing_ok=True)


def _require_owner(directory: Path, otherwise: str) -> None:
    """Raise a NotSearchingError, which says what follows from it, unless a process searches in the directory."""
    if owner_of(directory) is None:
        raise NotSearchingError(
            f"nobody searches in {str(directory)!r} now, so {otherwise}; begin the search again to go on with it"
        )


def _require_new(search: StoredSearch, encoding: Encoding, configs: Mapping[str, Config]) -> None:
    """Raise an InvalidArgumentError if a trial has one of the configurations, which have names for that."""
    full = search.problem.max_epochs
    trials = fold_events(event for event, _ in search.events)
    taken = [trial for trial in trials if trial.takes_its_configuration(full)]
    keys = encoding.keys([trial.config for trial in taken])
    ids = {key: trial.id for key, trial in zip(keys, taken, strict=True)}
    for where, config in configs.items():
        if (key := encoding.key(config)) in ids:
            raise InvalidArgumentError(f"{where} is what trial {ids[key]} has; add another one")
