"""Whether a project's parser makes anything of ``trainer.max_epochs``, which trainings by steps do not have."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from lightning_primo.checks import shown
from lightning_primo.cli.project.overlay import leaves, look_up
from lightning_primo.cli.project.project import Project
from lightning_primo.errors import InvalidArgumentError

_EPOCHS = "trainer.max_epochs"


def refuse_linked_epochs(project: Project, config: Mapping[str, Any]) -> None:
    """Raise where a link sets something from the Trainer's epochs, though it is given steps.

    Args:
        project: As it is searched over.
        config: A trial's values.

    Raises:
        InvalidArgumentError: Then; how many epochs the steps come to depends on the data, which are made later.
    """
    of_one, of_two = (
        replace(project, max_epochs=epochs, max_steps=None).resolved(config, links=True) for epochs in (1, 2)
    )
    texts = {key for key, source in project.follows.items() if "${" in source}  # names, as of a run
    linked = [
        key
        for key in leaves(of_one)
        if key != _EPOCHS and key not in texts and look_up(of_one, key) != look_up(of_two, key)
    ]
    if linked:
        raise InvalidArgumentError(
            f"'steps' is given, but the project sets {', '.join(map(shown, linked))} from {_EPOCHS!r} (by "
            "link_arguments, or as the config writes it), and how many epochs so many steps come to depends on the "
            "data: write a number of its own, let the model read "
            "self.trainer.max_epochs in configure_optimizers, link from 'trainer.max_steps', or count in 'epochs'"
        )
