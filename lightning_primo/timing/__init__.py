"""How long a call takes, to the precision that is asked for, on a machine that is busy.

It needs NumPy alone, so that it serves on devices that have nothing else.
"""

from lightning_primo.timing.reference import Reference
from lightning_primo.timing.round_robin import Ratio, RoundRobin, time_in_turn
from lightning_primo.timing.timer import time_calls
from lightning_primo.timing.timing import Timing

__all__ = ["Ratio", "Reference", "RoundRobin", "Timing", "time_calls", "time_in_turn"]
