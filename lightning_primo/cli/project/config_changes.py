"""What differs between two configs of a project, as far as the results of a search depend on it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lightning_primo.cli.project.overlay import MISSING, leaves, look_up
from lightning_primo.training.trainer import OWNED_ARGUMENTS

# What may change while a search goes on, as no result depends on it.
_INCIDENTAL = ("logger", "accelerator", "devices", "enable_progress_bar", "enable_model_summary", "default_root_dir")


def config_changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    """The first keys at which two configs differ, with their values; empty where nothing that matters does."""
    before, after = _comparable(before), _comparable(after)
    keys = dict.fromkeys([*leaves(before), *leaves(after)])
    pairs = [(key, look_up(before, key), look_up(after, key)) for key in keys]
    different = [
        f"{key} was {_shown(old)} and is {_shown(new)}" for key, old, new in pairs if old is not new and old != new
    ]
    return ", ".join(different[:3]) + (", …" if len(different) > 3 else "")


def _comparable(config: Mapping[str, Any]) -> dict[str, Any]:
    trainer = config.get("trainer") or {}
    kept = {name: value for name, value in trainer.items() if name not in (*_INCIDENTAL, *OWNED_ARGUMENTS)}
    return {**{name: value for name, value in config.items() if name != "seed_everything"}, "trainer": kept}


def _shown(value: Any) -> str:
    return "not set" if value is MISSING else repr(value)
