"""A trial's config as the project's own commands read it, which know nothing of a search."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lightning_primo.namespaces import in_other_name


def as_the_project_reads_it(config: Mapping[str, Any], *, other_name: bool) -> dict[str, Any]:
    """The config without the checkpoint to begin with, as trials do not start from it.

    Args:
        config: The config, nested.
        other_name: Whether the project has Lightning as ``pytorch_lightning``, whose Trainer refuses the callbacks of
            ``lightning.pytorch``.
    """
    own = dict(config)
    if own.get("ckpt_path") is not None:
        own["ckpt_path"] = None
    return _renamed(own) if other_name else own


def _renamed(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _renamed(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_renamed(item) for item in value]
    return in_other_name(value) if isinstance(value, str) else value
