"""What a module costs: parameters, multiply-adds, latency and memory, as plain functions of a module and its inputs.

None of them leaves a trace in the module that is measured or in the random state, and none needs a Trainer.
"""

from lightning_primo.measure.batches import sample_batch
from lightning_primo.measure.devices import available_devices
from lightning_primo.measure.flops import count_flops
from lightning_primo.measure.inputs import call, first_sample, model_inputs, to_device
from lightning_primo.measure.latency import LatencyMeasurement, measure_latency
from lightning_primo.measure.layers import LayerProfile, Profile, profile
from lightning_primo.measure.memory import peak_memory
from lightning_primo.measure.module_profile import BatchProfile, ModuleProfile, profile_module
from lightning_primo.measure.parameters import parameter_count
from lightning_primo.measure.turns import quiet_machine

__all__ = [
    "BatchProfile",
    "LatencyMeasurement",
    "LayerProfile",
    "ModuleProfile",
    "Profile",
    "available_devices",
    "call",
    "count_flops",
    "first_sample",
    "measure_latency",
    "model_inputs",
    "parameter_count",
    "peak_memory",
    "profile",
    "profile_module",
    "quiet_machine",
    "sample_batch",
    "to_device",
]
