"""What a module costs: parameters, multiply-adds, latency, energy and memory, by plain functions of it and its inputs.

None of them leaves a trace in the module that is measured or in the random state, and none needs a Trainer.
"""

from lightning_primo.measure.batches import sample_batch
from lightning_primo.measure.devices import available_devices
from lightning_primo.measure.energy import EnergyMeasurement, measure_energy
from lightning_primo.measure.energy_meters import EnergyMeter, NvmlMeter, RaplMeter, meter_for
from lightning_primo.measure.flops import count_flops
from lightning_primo.measure.inputs import call, first_sample, model_inputs, to_device
from lightning_primo.measure.latency import LatencyMeasurement, measure_latency
from lightning_primo.measure.latency_comparison import compare_latencies
from lightning_primo.measure.layers import LayerProfile, Profile, profile
from lightning_primo.measure.measurement import Measurement
from lightning_primo.measure.memory import peak_memory
from lightning_primo.measure.module_profile import BatchProfile, ModuleProfile, profile_module
from lightning_primo.measure.parameters import parameter_count
from lightning_primo.measure.turns import quiet_machine

__all__ = [
    "BatchProfile",
    "EnergyMeasurement",
    "EnergyMeter",
    "LatencyMeasurement",
    "LayerProfile",
    "Measurement",
    "ModuleProfile",
    "NvmlMeter",
    "Profile",
    "RaplMeter",
    "available_devices",
    "call",
    "compare_latencies",
    "count_flops",
    "first_sample",
    "measure_energy",
    "measure_latency",
    "meter_for",
    "model_inputs",
    "parameter_count",
    "peak_memory",
    "profile",
    "profile_module",
    "quiet_machine",
    "sample_batch",
    "to_device",
]
