"""Latency and memory of networks on the device where they are deployed: a measurement server there, its client here.

The server needs NumPy and a runtime alone, neither PyTorch nor Lightning; a `ServedDevice` is what ``Latency(on=...)``
and ``PeakMemory(on=...)`` ask. ``lightning-primo serve``, or ``python -m lightning_primo.serving``, starts the server;
`serving_here` one on this machine, in a process of its own.
"""

from lightning_primo.serving.local_server import serving_here
from lightning_primo.serving.served_device import ServedDevice
from lightning_primo.serving.served_measurement import ServedMeasurement, ServedMemory
from lightning_primo.serving.server import Limits, MeasurementServer

__all__ = ["Limits", "MeasurementServer", "ServedDevice", "ServedMeasurement", "ServedMemory", "serving_here"]
