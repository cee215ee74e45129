"""How long a call takes, to the precision that is asked for, on a machine that is busy.

It needs NumPy alone, so that it serves on devices that have nothing else.
"""

from lightning_primo.timing.reference import Reference
from lightning_primo.timing.timer import time_calls, time_interleaved
from lightning_primo.timing.timing import Timing

__all__ = ["Reference", "Timing", "time_calls", "time_interleaved"]
