"""From configurations to networks: building LightningModules and their data, growing and pruning trained networks."""

from lightning_primo.nas.distillation import distil
from lightning_primo.nas.factory import Factory, Keywords, LoadersDataModule
from lightning_primo.nas.morphable import Morphable, Stage, check_morphable
from lightning_primo.nas.morphisms import deepen, inherit, widen
from lightning_primo.nas.pruning import kept_units, prune

__all__ = [
    "Factory",
    "Keywords",
    "LoadersDataModule",
    "Morphable",
    "Stage",
    "check_morphable",
    "deepen",
    "distil",
    "inherit",
    "kept_units",
    "prune",
    "widen",
]
