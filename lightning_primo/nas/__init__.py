"""Networks that grow and shrink: morphisms that preserve the function, pruning, distillation."""

from lightning_primo.nas.distillation import distil
from lightning_primo.nas.morphable import Morphable, Stage, check_morphable
from lightning_primo.nas.morphisms import deepen, inherit, widen
from lightning_primo.nas.pruning import kept_units, prune

__all__ = [
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
