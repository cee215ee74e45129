"""The directory of a search: where everything in it lies, and how a file is written that nobody sees half-written.

```
directory/
  search.sqlite           the log: what was asked and told
  search.lock             held by the process that searches; search.owner says who that is
  project.json            the LightningCLI project, of a search from the command line
  requests/               configurations that a user asks a search that runs to try; it takes them away
  ended.txt               why it has ended; not there while it goes on
  remeasured.json         what was measured again when the budget was used up
  repeated.json           what the front reached with further seeds; repeated/ is where these are trained
  environment.json      where the search has run: versions, devices, commands
  report.html           the report, written at the end of every run
  test.json               what the front reaches on the test data
  runs.json               runs of its own at logging services; runs.lock is held while one is begun
  trials.csv, front.png, hypervolume.png    what a recipe leaves for a person
  preflight/              during the preflight, one batch before the search
  latencies/              what was measured of networks, a file each, for configurations that have the same one
  trials/00012/           a trial's own
    last.ckpt             its checkpoint; last.ckpt.*.partial while that is written
    epoch_00004.ckpt      the same as it was after that epoch, as long as another trial may go on from there
    attempt               the ticket of the training that may write here
    stop                  the user's wish that the training here end
    runs.json             its runs at logging services
    replicates/00012-1/   the same of its second seed or fold, while that is trained
    logs/, checkpoints/   what loggers and the user's ModelCheckpoint write
```
"""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from lightning_primo.disk import storage_explained

STORE = "search.sqlite"
CHECKPOINT = "last.ckpt"
_EPOCH = "epoch_"
_REPLICATES = "replicates"
_LEFT_SECONDS = 60.0


def store_file(directory: Path) -> Path:
    """The log of the search in `directory`."""
    return directory / STORE


def lock_file(directory: Path) -> Path:
    """What is locked by the process that searches in `directory`."""
    return directory / "search.lock"


def owner_file(directory: Path) -> Path:
    """Who that is."""
    return directory / "search.owner"


def project_file(directory: Path) -> Path:
    """The LightningCLI project that is searched in `directory`."""
    return directory / "project.json"


def requests_directory(directory: Path) -> Path:
    """Where a user leaves the configurations that the search in `directory` is asked to try next."""
    return directory / "requests"


def ended_file(directory: Path) -> Path:
    """Why the search in `directory` has ended."""
    return directory / "ended.txt"


def remeasured_file(directory: Path) -> Path:
    """What was measured again in the search of `directory`."""
    return directory / "remeasured.json"


def repeated_file(directory: Path) -> Path:
    """What the front of the search of `directory` reached with further seeds."""
    return directory / "repeated.json"


def repetitions_directory(directory: Path) -> Path:
    """Where these are trained; trials have their folders in it as in the search's."""
    return directory / "repeated"


def tests_file(directory: Path) -> Path:
    """The test metrics of the front of the search in `directory`."""
    return directory / "test.json"


def environment_file(directory: Path) -> Path:
    """Where the search of `directory` has run, an entry per run."""
    return directory / "environment.json"


def report_file(directory: Path) -> Path:
    """The report on the search of `directory`."""
    return directory / "report.html"


def table_file(directory: Path) -> Path:
    """The table of all trials that a recipe writes."""
    return directory / "trials.csv"


def front_picture(directory: Path) -> Path:
    """The picture of the front; of a single objective that of the best value over the cost."""
    return directory / "front.png"


def hypervolume_picture(directory: Path) -> Path:
    """The picture of the hypervolume over the cost."""
    return directory / "hypervolume.png"


def preflight_directory(directory: Path) -> Path:
    """Where one batch is tried out before the search in `directory` begins."""
    return directory / "preflight"


def latencies_directory(directory: Path) -> Path:
    """Where the search in `directory` keeps the latencies of networks, for configurations that have the same one."""
    return directory / "latencies"


def trials_directory(directory: Path) -> Path:
    """Where the trials of the search in `directory` have their folders."""
    return directory / "trials"


def trial_directory(directory: Path, trial_id: int) -> Path:
    """Where a trial of the search in `directory` keeps its files."""
    return trials_directory(directory) / f"{trial_id:05d}"


def replicate_directory(trial: Path, number: int) -> Path:
    """Where a trial keeps the files of a replicate, counted from 0; the first has the trial's own directory.

    Its name tells the trial too, as loggers name runs after it.
    """
    return trial / _REPLICATES / f"{trial.name}-{number}" if number else trial


def replicate_directories(trial: Path) -> Iterator[Path]:
    """Those that there are, but for that of the first."""
    return (trial / _REPLICATES).glob(f"{trial.name}-*")


def search_directory(trial: Path) -> Path:
    """The directory of the search that a trial's, a replicate's, or its preflight's, lies in."""
    parent = trial.parent
    if parent.name == _REPLICATES:
        return search_directory(parent.parent)
    return parent.parent if parent.name == trials_directory(parent).name else parent


def checkpoint_file(trial: Path) -> Path:
    """The checkpoint of the trial whose directory is `trial`."""
    return trial / CHECKPOINT


def partial_checkpoint(trial: Path, token: str) -> Path:
    """The checkpoint while it is written by the attempt that `token` tells from others."""
    return trial / f"{CHECKPOINT}.{token}.partial"


def partial_checkpoints(trial: Path) -> Iterator[Path]:
    """What attempts have left of checkpoints, or are writing."""
    return trial.glob(f"{CHECKPOINT}.*.partial")


def epoch_checkpoint(trial: Path, epoch: int) -> Path:
    """The checkpoint of a trial as it was after `epoch` epochs."""
    return trial / f"{_EPOCH}{epoch:05d}.ckpt"


def epoch_checkpoints(directory: Path) -> Iterator[tuple[int, int, Path]]:
    """Those that there are in the search of `directory`: trial, epoch and file."""
    for path in trials_directory(directory).glob(f"*/{_EPOCH}*.ckpt"):
        trial, epoch = path.parent.name, path.stem.removeprefix(_EPOCH)
        if trial.isdecimal() and epoch.isdecimal():
            yield int(trial), int(epoch), path


def attempt_file(trial: Path) -> Path:
    """The ticket of the training that may write into `trial`."""
    return trial / "attempt"


def stop_file(trial: Path) -> Path:
    """The user's wish that what is trained in `trial` end."""
    return trial / "stop"


def runs_file(directory: Path) -> Path:
    """The runs that a trial, or a search, has at logging services."""
    return directory / "runs.json"


def runs_lock_file(directory: Path) -> Path:
    """What is locked while a search begins a run of its own."""
    return directory / "runs.lock"


def model_checkpoints_directory(trial: Path) -> Path:
    """Where a ModelCheckpoint of the user's writes."""
    return trial / "checkpoints"


def write_atomically(path: Path, text: str) -> None:
    """Write a text file that is never seen half-written, by several processes at once too; the last one's stays.

    What a killed process has left of it goes after a minute, which nobody takes to write one.

    Raises:
        StorageError: If the disk is full or cannot be written to.
    """
    for left in path.parent.glob(f".{path.name}-*"):
        with suppress(FileNotFoundError):  # another one may end, or tidy up, just now
            if time.time() - left.stat().st_mtime > _LEFT_SECONDS:
                left.unlink()
    unfinished = path.with_name(f".{path.name}-{uuid.uuid4().hex}")
    try:
        with storage_explained(f"{str(path)!r} cannot be written"):
            with unfinished.open("w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
