"""The objectives as Lightning callbacks: each works in a search, and alone in the Trainer of any project.

Of what a training brings are `Metric` (the module logs it), `DeployedMetric` (the same, of the deployed network),
`TorchMetric` (computed from what the validation steps return) and `TrainingTime`; `ParameterCount` and `FLOPs` are
exact, known before anything is built; `Latency`, `Energy`, `PeakMemory` and `FileSize` are measured before a training,
the first in any runtime, on a `bench`.

The contract of all is in `base`; `exact_costs` is the oracle of those that need no training, `example_inputs` what a
module is measured with, `places` where that was.
"""

from lightning_primo.objectives.base import CostCallback, ObjectiveCallback, TrainedCallback
from lightning_primo.objectives.deployed_metric import DeployedMetric
from lightning_primo.objectives.energy import Energy
from lightning_primo.objectives.file_size import FileSize
from lightning_primo.objectives.flops import FLOPs
from lightning_primo.objectives.latency import Latency
from lightning_primo.objectives.metric import Metric
from lightning_primo.objectives.parameter_count import ParameterCount
from lightning_primo.objectives.peak_memory import PeakMemory
from lightning_primo.objectives.torch_metric import TorchMetric
from lightning_primo.objectives.training_time import TrainingTime

__all__ = [
    "CostCallback",
    "DeployedMetric",
    "Energy",
    "FLOPs",
    "FileSize",
    "Latency",
    "Metric",
    "ObjectiveCallback",
    "ParameterCount",
    "PeakMemory",
    "TorchMetric",
    "TrainedCallback",
    "TrainingTime",
]
