"""``lightning-primo export``: the trained networks of a search as files."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonargparse

from lightning_primo.cli.output import print_note, print_text, writing

if TYPE_CHECKING:
    from lightning_primo.cli.project.project import Project
    from lightning_primo.results import TrialResult

CONFIG_NAME = "config.yaml"
CHECKPOINT_NAME = "model.ckpt"
_ATTEMPTS = 5


def parser() -> jsonargparse.ArgumentParser:
    """The arguments of the command."""
    made = jsonargparse.ArgumentParser(
        description="Write the front of a search as plain files, a folder per trial: the weights (state_dict.pt, and "
        "Lightning's model.ckpt), the hyperparameters (config.json), the objectives (objectives.json), of a search of "
        "the command line also the project's own config.yaml with these hyperparameters: its fit command trains it as "
        "it is, its test and predict commands take it with --ckpt_path model.ckpt."
    )
    made.add_argument("directory", type=Path, help="the search's directory")
    made.add_argument("--out", type=Path, required=True, help="the folder to make; it appears complete or not at all")
    made.add_argument("--overwrite", action="store_true", help="replace an earlier export")
    made.add_argument(
        "--onnx", action="store_true", help="also write model.onnx, for batches of any size; needs the extra 'onnx'"
    )
    made.add_argument(
        "--objects",
        action="store_true",
        help="also write model_with_objects.ckpt, for libraries that build their modules from a checkpoint: it keeps "
        "hyperparameters that are objects, such as layers, which model.ckpt leaves out, and loads with "
        "weights_only=False alone",
    )
    made.add_argument(
        "--trust",
        action="store_true",
        help="with --onnx or --objects: run the code that the search's directory names, to build the networks; without "
        "these none is run",
    )
    made.add_argument(
        "--config",
        action="extend",
        nargs="+",
        metavar="FILE",
        help="in place of --trust: your own config of the project; several are merged",
    )
    made.add_argument("--cli", type=str | None, metavar="SCRIPT", help="with --config: the script, as for the search")
    made.add_argument(
        "--trial", type=int, nargs="+", metavar="N", help="these trials, where their weights are kept, not the front"
    )
    return made


def run(options: jsonargparse.Namespace) -> int:
    """Carry out the command.

    Raises:
        StoreError: There is no search in the directory, or its file is damaged.
        InvalidArgumentError: For a folder that is not empty, a trial that there is not, or ``--onnx`` or ``--objects``
            without the word of the user that code may be run.
        PrimoError: If there is nothing to export, or weights or modules cannot be loaded or written.
    """
    from lightning_primo.cli.project.trust import trusted_project
    from lightning_primo.errors import CheckpointError, InvalidArgumentError
    from lightning_primo.results import check_target
    from lightning_primo.search import read_result

    out = options.out.expanduser().absolute()  # the project has a folder of its own, where it is active
    if out.is_dir() and any(out.iterdir()) and not options.overwrite:
        raise InvalidArgumentError(f"'--out' {str(out)!r} is not empty; choose another one, or add --overwrite")
    check_target(out, overwrite=options.overwrite)
    builds = options.onnx or options.objects
    if (options.config or options.cli) and not builds:
        raise InvalidArgumentError(
            "'--config' and '--cli' say how networks are built, which only --onnx and --objects need"
        )
    result = read_result(options.directory)
    project = None
    if builds:
        project = trusted_project(
            result.directory,
            configs=options.config or [],
            cli=options.cli,
            trust=options.trust,
            what="'--onnx'" if options.onnx else "'--objects'",
        )
    code: dict[str, Any] = {} if project is None else {"module": project.module, "datamodule": project.data}
    stored = _stored_project(result.directory)
    with nullcontext() if project is None else project.active(), writing(out):
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                target = read_result(result.directory, **code).export(
                    out,
                    trials=options.trial,
                    onnx=options.onnx,
                    objects=options.objects,
                    overwrite=options.overwrite,
                    extra=None if stored is None else config_writer(stored),
                )
                break
            except CheckpointError:  # which a search that runs has removed since its result was read
                if attempt == _ATTEMPTS:
                    raise
    for path in sorted(target.iterdir()):
        files = f": {', '.join(sorted(file.name for file in path.iterdir()))}" if path.is_dir() else ""
        print_text(f"{path}{files}")
    return 0


def config_writer(project: Project) -> Callable[[TrialResult, Path], None]:
    """What writes the project's own config of a trial into a folder; it has the length of a full training.

    None of the project's code is run for it.
    """
    import yaml

    from lightning_primo.errors import InvalidArgumentError

    def write(trial: TrialResult, folder: Path) -> None:
        try:
            config = project.config_file(trial.config)
        except InvalidArgumentError as error:  # the weights are there all the same
            print_note(f"{CONFIG_NAME} of trial {trial.id} is left out: {error}")
            return
        _with_epochs_of_steps(config, folder)
        (folder / CONFIG_NAME).write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")

    return write


def _with_epochs_of_steps(config: dict[str, Any], folder: Path) -> None:
    """Where ``trainer.max_steps`` is the length of a full training, set the epochs that it has taken.

    Schedules may be made for ``trainer.max_epochs``, which was that number in the search.
    """
    import torch

    trainer = config.get("trainer") or {}
    if trainer.get("max_epochs") != -1:
        return
    trained = torch.load(folder / CHECKPOINT_NAME, map_location="cpu", weights_only=True, mmap=True)
    if trained["global_step"] >= trainer["max_steps"]:  # none that something else has ended
        trainer["max_epochs"] = trained["epoch"] + 1


def _stored_project(directory: Path) -> Project | None:
    """The project that was searched over, as text; None for a search made in Python, or where it cannot be read."""
    from lightning_primo.cli.project.project import Project
    from lightning_primo.errors import CorruptStoreError

    try:
        return Project.of_search(directory)
    except CorruptStoreError as error:
        print_note(f"{CONFIG_NAME} is left out: {error}")
    return None
