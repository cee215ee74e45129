"""Latencies of networks on the device where they are deployed: a measurement server there, and its client here.

The server needs NumPy and a runtime alone, neither PyTorch nor Lightning; a `ServedDevice` is what ``Latency(on=...)``
asks. ``lightning-primo serve``, or ``python -m lightning_primo.serving``, starts the server; `serving_here` one on this
machine, in a process of its own.
"""

from lightning_primo.serving.local_server import serving_here
from lightning_primo.serving.served_device import ServedDevice, ServedMeasurement
from lightning_primo.serving.server import Limits, MeasurementServer

__all__ = ["Limits", "MeasurementServer", "ServedDevice", "ServedMeasurement", "serving_here"]
