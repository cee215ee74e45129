"""``lightning-primo export``: the trained networks of a search as files."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonargparse

from lightning_primo.cli.output import writing

if TYPE_CHECKING:
    from lightning_primo.cli.project import Project
    from lightning_primo.results import Result, TrialResult

CONFIG_NAME = "config.yaml"
_ATTEMPTS = 5


def parser() -> jsonargparse.ArgumentParser:
    """The arguments of the command."""
    made = jsonargparse.ArgumentParser(
        description="Write the front of a search as plain files, a folder per trial: the weights (state_dict.pt), the "
        "hyperparameters (config.json), the objectives (objectives.json), of a search of the command line also the "
        "project's own config.yaml with these hyperparameters, which its fit command trains as it is."
    )
    made.add_argument("directory", type=Path, help="the search's directory")
    made.add_argument("--out", type=Path, required=True, help="the folder to make; it appears complete or not at all")
    made.add_argument("--overwrite", action="store_true", help="replace an earlier export")
    made.add_argument(
        "--onnx", action="store_true", help="also write model.onnx, for batches of any size; needs the extra 'onnx'"
    )
    made.add_argument(
        "--trial", type=int, nargs="+", metavar="N", help="these trials, where their weights are kept, not the front"
    )
    return made


def run(options: jsonargparse.Namespace) -> int:
    """Carry out the command.

    Raises:
        StoreError: There is no search in the directory, or its file is damaged.
        InvalidArgumentError: For a folder that is not empty, or a trial that there is not.
        PrimoError: If there is nothing to export, or weights or modules cannot be loaded or written.
    """
    from lightning_primo.errors import CheckpointError, InvalidArgumentError
    from lightning_primo.search import read_result
    from lightning_primo.store import owner_of

    out = options.out.expanduser().absolute()  # the project has a folder of its own, where it is active
    if out.is_dir() and any(out.iterdir()) and not options.overwrite:
        raise InvalidArgumentError(f"'--out' {str(out)!r} is not empty; choose another one, or add --overwrite")
    result = read_result(options.directory)
    project = _project(result, required=options.onnx)
    code: dict[str, Any] = {}
    if project is not None and options.onnx:
        code = {"module": project.module, "datamodule": project.data}
    with nullcontext() if project is None else project.active(), writing(out):
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                target = read_result(result.directory, **code).export(
                    out,
                    trials=options.trial,
                    onnx=options.onnx,
                    overwrite=options.overwrite,
                    extra=None if project is None else config_writer(project),
                )
                break
            except CheckpointError:  # which a search that runs has removed since its result was read
                if attempt == _ATTEMPTS or owner_of(result.directory) is None:
                    raise
    for path in sorted(target.iterdir()):
        files = f": {', '.join(sorted(file.name for file in path.iterdir()))}" if path.is_dir() else ""
        print(f"{path}{files}")
    return 0


def config_writer(project: Project) -> Callable[[TrialResult, Path], None]:
    """What writes the project's own config of a trial into a folder; it has the epochs of a full training."""
    import yaml

    def write(trial: TrialResult, folder: Path) -> None:
        config = project.resolved(trial.config)
        (folder / CONFIG_NAME).write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")

    return write


def _project(result: Result, *, required: bool) -> Project | None:
    """The project that was searched over; None for a search made in Python, or where the project is gone."""
    from lightning_primo.cli.project import Project
    from lightning_primo.errors import PrimoError

    try:
        project = Project.of_search(result.directory)
        if project is not None:
            with project.active():  # runs its script, which may have gone or changed
                return project
    except PrimoError as error:
        if required:
            raise
        print(f"{CONFIG_NAME} is left out, the project cannot be opened: {error}", file=sys.stderr)
    return None
