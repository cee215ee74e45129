"""The objectives as Lightning callbacks: each works in a search, and alone in the Trainer of any project.

| objective | module | kind |
|---|---|---|
| `Metric` | `metric` | trained: the module logs it |
| `TorchMetric` | `torch_metric` | trained: computed from what the validation steps return |
| `TrainingTime` | `training_time` | trained |
| `ParameterCount`, `FLOPs` | `costs` | exact |
| `Latency`, `PeakMemory` | `costs` | measured |

The contract of all is in `base`; `exact_costs` is the oracle of those that need no training, `example_inputs` what a
module is measured with, `places` where that was.
"""

from lightning_primo.objectives.base import CostCallback, ObjectiveCallback, TrainedCallback
from lightning_primo.objectives.costs import FLOPs, Latency, ParameterCount, PeakMemory
from lightning_primo.objectives.metric import Metric
from lightning_primo.objectives.torch_metric import TorchMetric
from lightning_primo.objectives.training_time import TrainingTime

__all__ = [
    "CostCallback",
    "FLOPs",
    "Latency",
    "Metric",
    "ObjectiveCallback",
    "ParameterCount",
    "PeakMemory",
    "TorchMetric",
    "TrainedCallback",
    "TrainingTime",
]
