"""Where jobs run: in this process, in local ones, or in a process below each worker of any other executor."""

from lightning_primo.workers.below import run_below
from lightning_primo.workers.in_process import InProcess
from lightning_primo.workers.local_processes import LocalProcesses
from lightning_primo.workers.supervisor import Call, Supervisor, pickled_call

__all__ = ["Call", "InProcess", "LocalProcesses", "Supervisor", "pickled_call", "run_below"]
