"""What is asked of a search from another thread or process while it runs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning_primo.problem.trial import Config
from lightning_primo.search.requests import ask_to_add, ask_to_stop


class Steered:
    """A search that may be asked for something while it runs, by its directory.

    Attributes:
        directory: The search's.
    """

    directory: Path

    def add(self, config: Mapping[str, Any]) -> Config:
        """Let the search that runs in this directory try a configuration next, in place of the algorithm's.

        It may run in this process, in another thread, or in any other; ``lightning-primo add`` is the same.

        Args:
            config: Hyperparameters; those that are left out have the space's defaults where they are active.

        Returns:
            The configuration with those defaults.

        Raises:
            NotSearchingError: Nobody searches there now.
            InvalidArgumentError: The configuration is not in the space, or a trial has it.
            StoreError: There is no search in the directory yet, or its file is damaged.
            StorageError: The directory cannot be written.
        """
        (added,) = ask_to_add(self.directory, {"'config'": config})
        return added

    def stop(self, trial: int) -> None:
        """Let a trial that is being trained there end at the end of its batch; it counts as stopped.

        ``lightning-primo stop`` is the same.

        Args:
            trial: Its number.

        Raises:
            NotSearchingError: Nobody searches there now.
            InvalidArgumentError: There is no such trial, or it is not being trained.
            StoreError: There is no search in the directory yet, or its file is damaged.
            StorageError: The directory cannot be written.
        """
        ask_to_stop(self.directory, trial)
