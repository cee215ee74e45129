"""What is searched, as values: objectives, trials, what is known of architectures; all that an algorithm may know."""

from lightning_primo.problem.architecture import Architecture, ArchitectureOracle, Layer, LayerKind, NetworkOracle
from lightning_primo.problem.fidelity import BY_EPOCHS, Fidelity
from lightning_primo.problem.objective import Kind, Mode, Objective
from lightning_primo.problem.place import Place
from lightning_primo.problem.problem import ExactOracle, Problem
from lightning_primo.problem.trial import Config, Evaluation, Losses, Proposal, Status, Trial, lineage
from lightning_primo.problem.unit import EPOCHS, UNITS, DataFractions, Epochs, Steps, Unit

__all__ = [
    "BY_EPOCHS",
    "EPOCHS",
    "UNITS",
    "Architecture",
    "ArchitectureOracle",
    "Config",
    "DataFractions",
    "Epochs",
    "Evaluation",
    "ExactOracle",
    "Fidelity",
    "Kind",
    "Layer",
    "LayerKind",
    "Losses",
    "Mode",
    "NetworkOracle",
    "Objective",
    "Place",
    "Problem",
    "Proposal",
    "Status",
    "Steps",
    "Trial",
    "Unit",
    "lineage",
]
