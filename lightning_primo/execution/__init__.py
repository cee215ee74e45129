"""Where jobs run. An executor is any `concurrent.futures.Executor`: these two, Dask's, MPI's, submitit's."""

from lightning_primo.execution.in_process import InProcess
from lightning_primo.execution.local_processes import LocalProcesses

__all__ = ["InProcess", "LocalProcesses"]
