"""Workers that the tests' own process starts by loky are forked, from a parent that has imported what they need.

Loky executes Python anew for each, which imports torch and Lightning for eight seconds; the tests start dozens, many of
which they kill at once. Scripts that tests run start theirs as loky does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from tests.parent import Parent

_MODULE = "loky.backend.popen_loky_posix"
PRELOADED = (
    "lightning_primo.search.worker_calls",
    "lightning_primo.study.study",
    "lightning_primo.training.ranks.processes",
    "lightning_primo.workers",
    "pytest",
    _MODULE,
)

Execute = Callable[[Sequence[str], Sequence[int], "Mapping[str, str] | None"], int]


def forking(execute: Execute, parent: Parent) -> Execute:
    """What takes the place of loky's `fork_exec`.

    Args:
        execute: Loky's.
        parent: Forks the workers.
    """

    def fork(command: Sequence[str], keep_fds: Sequence[int], env: Mapping[str, str] | None = None) -> int:
        if _MODULE not in command:  # loky's tracker of resources
            return execute(command, keep_fds, env)
        numbers = (0, 1, 2, *map(int, keep_fds))
        arguments = command[command.index(_MODULE) - 1 :]
        return parent.start(arguments, dict(zip(numbers, numbers, strict=True)), env=env)

    return fork
