"""Any search's directory, opened without the code that made it: the log itself says what was searched."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lightning_primo.checks import check_path
from lightning_primo.errors import StoreError
from lightning_primo.layout import STORE, store_file
from lightning_primo.problem import Problem
from lightning_primo.results.stored_findings import StoredFindings
from lightning_primo.store import Event, read_search
from lightning_primo.store.described_problem import problem_of, readable

if TYPE_CHECKING:
    from lightning_primo.factory import Factory
    from lightning_primo.results import Result
    from lightning_primo.training.options import TrainerArguments

_NEARBY = ("", "*/", "*/*/")  # how far below a directory searches are looked for
_MOST_NEARBY = 10


@dataclass(frozen=True, kw_only=True)
class StoredSearch:
    """What the directory of a search says of it.

    Args:
        directory: The search's.
        problem: What is searched; without the oracles, which need code: what was told is known all the same. Its space
            is made of its text when it is asked for, and a CorruptStoreError is raised then if that cannot be read.
        hyperparameters: Their names, in the space's order.
        algorithm: The algorithm's class by name (``"class"``), and its hyperparameters.
        seed: The search's.
        description: All that identifies the search, as text by key.
        events: What was asked and told, in order.
    """

    directory: Path
    problem: Problem
    hyperparameters: tuple[str, ...]
    algorithm: Mapping[str, Any]
    seed: int
    description: Mapping[str, str] = field(repr=False)
    events: tuple[Event, ...] = field(repr=False)

    @classmethod
    def open(cls, directory: str | Path) -> StoredSearch:
        """Read a search's directory, which may be read-only; also while the search runs.

        Raises:
            StoreError: There is no search in it; the message names searches nearby.
            CorruptStoreError: Its file is damaged, or what it describes cannot be read by this version.
        """
        folder = check_path("directory", directory, example="runs/first")
        if not store_file(folder).exists():
            raise StoreError(_no_search(folder))
        description, events = read_search(folder)
        with readable(folder):
            return cls(
                directory=folder,
                problem=problem_of(description, folder),
                hyperparameters=tuple(json.loads(description["space"])["hyperparameters"]),
                algorithm=json.loads(description["algorithm"]),
                seed=int(description["seed"]),
                description=description,
                events=tuple(events),
            )

    def findings(self) -> StoredFindings:
        """What was found, as far as that is known without torch: trials, front, hypervolume."""
        return StoredFindings(self.problem, self.events, directory=self.directory, description=self.description)

    def result(self, *, build: Factory | None = None, trainer: TrainerArguments | None = None) -> Result:
        """What was found.

        Args:
            build: How module and data of a configuration are built; None where that is not known.
            trainer: Arguments of the Trainer, or a function that gives them, for `Result.test`.
        """
        from lightning_primo.results.result import Result

        return Result(
            self.problem,
            self.events,
            directory=self.directory,
            build=build,
            seed=self.seed,
            trainer=trainer,
            description=self.description,
        )


def read_result(
    directory: str | Path, *, module: Any = None, datamodule: Any = None, trainer: TrainerArguments | None = None
) -> Result:
    """What a search has found so far, read from its directory alone, by whatever it was made; also while it runs.

    Front, table, hypervolume, pictures and `Result.export` need nothing else. `Result.load`, `Result.test` and the
    export to ONNX build the module, so they need `module` and, for the data, `datamodule`.

    Args:
        directory: The search's.
        module: As for `Search`.
        datamodule: As for `Search`.
        trainer: As for `Search`, for `Result.test`.

    Raises:
        InvalidArgumentError: If module or data cannot be built of what was searched.
        StoreError: There is no search in the directory; the message names searches nearby.
        CorruptStoreError: Its file is damaged, or what it describes cannot be read by this version.
    """
    from lightning_primo.factory import Factory
    from lightning_primo.search.arguments import check_trainer

    search = StoredSearch.open(directory)
    names = list(search.problem.space.keys())  # one that cannot be read is told of here
    build = None if module is None else Factory(module, datamodule)
    if build is not None:
        build.check(names)
    return search.result(build=build, trainer=check_trainer(trainer))


def searches_near(directory: Path) -> list[Path]:
    """Directories with a search in or below the nearest one that exists, two levels deep; ten at most, sorted."""
    while not directory.is_dir() and directory != directory.parent:
        directory = directory.parent
    found = (path.parent for pattern in _NEARBY for path in directory.glob(f"{pattern}{STORE}"))
    return sorted(found)[:_MOST_NEARBY]


def _no_search(directory: Path) -> str:
    what = f"holds no search: there is no file {STORE!r} in it" if directory.is_dir() else "does not exist"
    if directory.is_file():
        what = "is a file; give the directory that a search was made with"
    nearby = searches_near(directory)
    if not nearby:
        return f"'directory' {str(directory)!r} {what}"
    return f"'directory' {str(directory)!r} {what}; searches nearby: {', '.join(map(str, nearby))}"
