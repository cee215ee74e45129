"""The processes of a trial's ranks, one per device, started as ``torchrun`` would start them.

Their environment says that they belong to a group that was launched by someone else, so that Lightning starts nothing.
They stay for the next trial, as importing takes them seconds, and end when they were idle for a while, when `end_ranks`
is called, and with the process that started them.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Future, wait
from typing import Any

import loky
import torch

from lightning_primo.workers.environment import process_variables
from lightning_primo.workers.lifetime import interrupts_blocked, prepare_process

HOST = "127.0.0.1"

_IDLE_SECONDS = 300.0
_ANSWER_SECONDS = 60.0


class Group:
    """The processes of `n` ranks, started with the first call.

    Args:
        n: Number of ranks.
        threads: CPU threads of each.
    """

    def __init__(self, n: int, threads: int) -> None:
        self.n, self.threads, self.parent = n, threads, os.getpid()
        self._pools = [
            loky.ProcessPoolExecutor(
                max_workers=1,
                timeout=_IDLE_SECONDS,
                initializer=prepare_process,
                initargs=(self.parent, threads),
                env={**rank_variables(rank, n), **process_variables(threads)},
            )
            for rank in range(n)
        ]

    def submit(self, function: Callable[..., Any], *args: Any) -> list[Future[Any]]:
        """Run a function in each rank.

        Raises:
            BrokenExecutor: If one of the processes is dead.
        """
        with interrupts_blocked():
            return [pool.submit(function, *args) for pool in self._pools]

    def all_run(self, function: Callable[[], Any]) -> bool:
        """Whether all ranks have run a short function, in time and without an exception."""
        try:
            futures = self.submit(function)
        except BrokenExecutor:
            return False
        _, late = wait(futures, timeout=_ANSWER_SECONDS)
        return not late and all(future.exception() is None for future in futures)

    def kill(self) -> None:
        """End the processes at once, and those that they have started."""
        if self.parent != os.getpid():  # a fork of the process that they belong to
            return
        for pool in self._pools:
            pool.shutdown(wait=True, kill_workers=True)


_idle: Group | None = None
_lock = threading.Lock()


def take_group(n: int) -> Group:
    """The idle group, if it is of this kind and alive, or a new one."""
    threads = max(1, torch.get_num_threads() // n)
    group = _swap(None)
    if group is not None:
        if (group.n, group.threads, group.parent) == (n, threads, os.getpid()) and group.all_run(os.getpid):
            return group
        group.kill()
    return Group(n, threads)


def keep_group(group: Group) -> None:
    """Keep a group for the next trial."""
    surplus = _swap(group)  # there is one if two threads train
    if surplus is not None:
        surplus.kill()


def end_ranks() -> None:
    """End the processes that are kept for the next trial, if there are any."""
    group = _swap(None)
    if group is not None:
        group.kill()


def _swap(group: Group | None) -> Group | None:
    global _idle
    with _lock:
        before, _idle = _idle, group
    return before


def rank_variables(rank: int, n: int) -> dict[str, str]:
    """What ``torchrun`` sets for a rank of `n` on one machine, but for the port, which each trial has anew."""
    return {
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "NODE_RANK": "0",
        "GROUP_RANK": "0",
        "WORLD_SIZE": str(n),
        "LOCAL_WORLD_SIZE": str(n),
        "GROUP_WORLD_SIZE": "1",
        "MASTER_ADDR": HOST,
        "TORCHELASTIC_RUN_ID": "lightning_primo",  # Lightning then takes it for torchrun's, also below SLURM
        "TORCHELASTIC_RESTART_COUNT": "0",
        "TORCHELASTIC_USE_AGENT_STORE": "True",  # the calling process has the store, rank 0 must open none
    }
