"""What a process that trains finds in its environment: its threads and GPUs, and nothing of who launched its parent."""

from __future__ import annotations

import os

import loky
import torch
from lightning.pytorch.utilities import rank_zero_only

THREADS_VARIABLE = "OMP_NUM_THREADS"
"""The environment variable that says how many threads a process computes with."""

_OF_MKL = "MKL_NUM_THREADS"  # which PyTorch goes by where the other one says nothing
_THREAD_VARIABLES = (THREADS_VARIABLE, _OF_MKL, "OPENBLAS_NUM_THREADS")
_GPU_VARIABLE = "CUDA_VISIBLE_DEVICES"
_OF_LAUNCHERS = (  # what their variables begin with; those of the Slurm job as a whole stay
    "SLURM_NTASKS",
    "SLURM_NPROCS",
    "SLURM_PROCID",
    "SLURM_LOCALID",
    "PMI",
    "OMPI_",
    "MPI_LOCAL",
)
_OF_TORCHRUN = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "GROUP_RANK", "NODE_RANK")


def threads_each(n: int) -> int:
    """CPU threads of each of `n` processes that this machine's processors are divided among, or fewer if so set."""
    share = max(1, int(loky.cpu_count()) // n)
    return min(share, threads_set() or share)


def threads_set() -> int | None:
    """The threads that the environment gives a process; None where it says nothing that is a number."""
    return _given(THREADS_VARIABLE) or _given(_OF_MKL)


def _given(variable: str) -> int | None:
    given = os.environ.get(variable, "").partition(",")[0]  # of nested parallel regions the outermost
    return int(given) if given.isdecimal() and int(given) > 0 else None


def process_variables(threads: int) -> dict[str, str]:
    """The environment variables of a process that is to compute with at most so many threads, and to stay.

    Where the user's say fewer they count. Loky ends a process that has grown by 300 MB, which a training does before it
    leaks anything.
    """
    at_most = {variable: str(min(threads, _given(variable) or threads)) for variable in _THREAD_VARIABLES}
    return {**at_most, "LOKY_MAX_MEMORY_LEAK_SIZE": "1e15"}


def gpu_variables(slot: int, workers: int, devices: int | None) -> dict[str, str]:
    """The environment variables of a worker that is to see its share of the GPUs only.

    Args:
        slot: Number of the worker, from 0.
        workers: How many there are.
        devices: GPUs that a job trains on; None for an equal share of all.
    """
    visible = os.environ.get(_GPU_VARIABLE)
    gpus = [str(i) for i in range(torch.cuda.device_count())] if visible is None else visible.split(",")
    if workers < 2 or len(gpus) < 2:
        return {}
    share = min(len(gpus), devices or max(1, len(gpus) // workers))
    first = slot % (len(gpus) // share) * share
    return {_GPU_VARIABLE: ",".join(gpu.strip() for gpu in gpus[first : first + share])}


def forget_launcher() -> None:
    """Let this process not take itself for one of several that train together, as ``srun`` and others would have it.

    A worker that ``srun``, ``mpiexec`` or ``torchrun`` has started inherits what these tell their processes. Lightning
    would believe that each training is only its share of one, of which another process writes the logs.
    """
    for name in list(os.environ):
        if name.startswith(_OF_LAUNCHERS) or name in _OF_TORCHRUN:
            del os.environ[name]
    rank_zero_only.rank = 0  # type: ignore[attr-defined]  # which Lightning has set when it was imported
