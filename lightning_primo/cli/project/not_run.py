"""What of a project's own LightningCLI a search does not run, as trials have Lightning's Trainer and no subcommand."""

from __future__ import annotations

import lightning.pytorch as pl

from lightning_primo.cli.project.project import Project
from lightning_primo.cli.project.workplace import Workplace

_HOOKS = ("before_fit", "fit", "after_fit")


def not_run(project: Project) -> list[str]:
    """Sentences that name each such part, and say where what it does would be done in a trial too.

    Args:
        project: Which must be active.
    """
    construction = Workplace(project.cli, project.folder).prepared.construction
    cls = construction.cls
    sentences = [
        f"{cls.__name__}.{name}() is not called in a search: what it does to model, data or Trainer belongs into these "
        "themselves, or into a callback"
        for name in _HOOKS
        if hasattr(cls, name)
    ]
    trainer = construction.arguments.get("trainer_class", pl.Trainer)
    if trainer is not pl.Trainer:
        name = getattr(trainer, "__name__", repr(trainer))
        sentences.append(
            f"trainer_class={name} is not used in a search, trials have Lightning's own with its arguments: what "
            f"{name} does beyond them belongs into callbacks"
        )
    if project.configs and construction.arguments.get("args"):
        sentences.append(
            f"the 'args' that the script gives {cls.__name__} are not read, --config stands in their place: without "
            "--config they are"
        )
    return sentences
