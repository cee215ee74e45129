"""What a user asks of a search that another process carries out: that a trial ends.

The request is a file, which whatever trains the trial looks for, wherever that is. It outlives a controller that is
killed: the trial that goes on then finds it too.
"""

from __future__ import annotations

from pathlib import Path

from lightning_primo.disk import storage_explained
from lightning_primo.errors import InvalidArgumentError, NotSearchingError
from lightning_primo.layout import stop_file, trial_directory, write_atomically
from lightning_primo.problem.trial import fold_events
from lightning_primo.search.stored_search import StoredSearch
from lightning_primo.store import owner_of


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
    require_owner(search.directory, "no trial is being trained")
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
    with storage_explained(f"{str(folder)!r} cannot be written"):
        folder.mkdir(parents=True, exist_ok=True)
    write_atomically(stop_file(folder), "")


def forget_to_stop(directory: Path, trial_id: int) -> None:
    """Let no earlier request hold for what a trial is going to be trained for next."""
    stop_file(trial_directory(directory, trial_id)).unlink(missing_ok=True)


def require_owner(directory: Path, otherwise: str) -> None:
    """Raise a NotSearchingError, which says what follows from it, unless a process searches in the directory."""
    if owner_of(directory) is None:
        raise NotSearchingError(
            f"nobody searches in {str(directory)!r} now, so {otherwise}; begin the search again to go on with it"
        )
