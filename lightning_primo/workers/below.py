"""Running a call below the worker of any executor: in a process of its own, which that worker keeps warm.

So whatever executor a user has, a job that crashes or hangs takes no worker with it, several threads of a worker train
beside each other, and a worker that may have no children, as Dask's may not, trains with loader processes all the same.
"""

from __future__ import annotations

import os
import threading
from typing import Any

from lightning_primo.workers.processes import THREADS_VARIABLE
from lightning_primo.workers.supervisor import Call, Supervisor, threads_each

_here = threading.local()


def run_below(call: Call, share: int = 1) -> Any:
    """Run `call` in the process that the present thread has for such calls; it ends with the thread.

    Args:
        call: What to run.
        share: How many such calls this machine's processors are divided among, unless the environment sets the number
            of threads.

    Raises:
        WorkerDiedError: If the process died, and so did the one in which the call was run again.
        WorkerHungError: If it did not end in its time.
        Exception: Whatever the call raises.
    """
    supervisor: Supervisor | None = getattr(_here, "supervisor", None)
    threads = _threads(share)
    if supervisor is None or supervisor.threads != threads:
        supervisor = _here.supervisor = Supervisor(threads=threads)
    return supervisor.run(call)


def _threads(share: int) -> int:
    given = os.environ.get(THREADS_VARIABLE, "")
    return int(given) if given.isdecimal() and int(given) > 0 else threads_each(share)
