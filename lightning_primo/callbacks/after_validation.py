"""What is done after a validation, behind the hooks of all callbacks and of the module itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import lightning.pytorch as pl

_HOOK = "on_validation_end"


def after_validations(trainer: pl.Trainer, act: Callable[[], None]) -> None:
    """Have `act` called at the end of each validation, sanity checks left out.

    Lightning calls the module's ``on_validation_end`` after those of callbacks, and the strategy's after that. Of
    several that ask for it, the last one comes first.

    Args:
        trainer: That validates; `no_more_after_validations` puts it back.
        act: What is called.
    """
    strategy: Any = trainer.strategy
    others = getattr(strategy, _HOOK)

    def end() -> None:
        if not trainer.sanity_checking:
            act()
        others()

    vars(strategy)[_HOOK] = end


def no_more_after_validations(trainer: pl.Trainer) -> None:
    """Undo all that `after_validations` has done; nothing where there is none."""
    vars(trainer.strategy).pop(_HOOK, None)
