"""Ready-made dataloaders as a data module."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import lightning.pytorch as pl
from torch.utils.data import DataLoader

from lightning_primo.errors import InvalidArgumentError
from lightning_primo.factory.keywords import listed

_STAGES = ("train", "val", "test")


class LoadersDataModule(pl.LightningDataModule):
    """Ready-made loaders as a data module.

    Args:
        loaders: What fit, validate and test take as dataloaders, by ``"train"``, ``"val"`` and ``"test"``.
    """

    def __init__(self, loaders: Mapping[str, Any]) -> None:
        super().__init__()
        # As attributes of the instance, so that Lightning sees which stages have data.
        for stage, loader in loaders.items():
            setattr(self, f"{stage}_dataloader", functools.partial(_identity, loader))


def _identity(value: Any) -> Any:
    return value


def are_loaders(data: Any) -> bool:
    """Whether `data` are ready-made dataloaders."""
    return isinstance(data, (tuple, Mapping, DataLoader))


def by_stage(data: Any) -> dict[str, Any]:
    """Dataloaders by ``"train"``, ``"val"`` and ``"test"``.

    Raises:
        InvalidArgumentError: For other keys, no ``"train"``, or a tuple of another length.
    """
    if isinstance(data, DataLoader):
        return {"train": data}
    if isinstance(data, Mapping):
        unknown = [key for key in data if key not in _STAGES]
        if unknown or "train" not in data:
            raise InvalidArgumentError(
                f"'datamodule' given as a dict of dataloaders must have the key 'train' and may have 'val' and 'test', "
                f"got the keys {listed(data)}"
            )
        loaders = dict(data)
    else:
        if not 1 <= len(data) <= len(_STAGES):
            raise InvalidArgumentError(
                "'datamodule' given as a tuple must be (train,), (train, val) or (train, val, test), got "
                f"{len(data)} items"
            )
        loaders = dict(zip(_STAGES, data, strict=False))
    return {stage: loader for stage, loader in loaders.items() if loader is not None}
