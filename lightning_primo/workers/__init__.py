"""Where jobs run: in this process, in local ones, or in a process below each worker of any other executor."""

from lightning_primo.workers.executor import ExecutorWorkers
from lightning_primo.workers.in_process import InProcess
from lightning_primo.workers.local_processes import LocalProcesses
from lightning_primo.workers.protocol import Workers

__all__ = ["ExecutorWorkers", "InProcess", "LocalProcesses", "Workers"]
