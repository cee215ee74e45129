"""What a search costs beside its trainings, by the number of evaluations: the controller's own time and memory.

A function takes the place of the trainings; all else is a search's own: the loop, the log on disk, the front, the
bookkeeping of checkpoints, one job at a time. Of the four objectives one is exact, and each can be bought with every
other one (`lightning_primo.testing.problems.trade_off_problem`), so that fronts are large.

Times are milliseconds of the processor per evaluation over the last tenth before each size (at most 100 evaluations,
and 10 where there is a model), and over all up to it, divided among the parts by the clock; what it takes to wait for
the disk is printed apart. Of methods with a model it is said what their asks spend on its parts; primo and ms-ehvi
sample all but the evaluations that are timed. The memory is what the process has grown by, so that only the first
method's says much. In the end the last search's log is opened again, as a resumed search, a result and the command
line do.

Other work of the machine still shows in the figures: run it alone, and more than once.

    OMP_NUM_THREADS=1 python -m benchmarks.scale                                     # random, moasha, sh-emoa to 10,000
    OMP_NUM_THREADS=1 python -m benchmarks.scale --methods primo ms-ehvi --sizes 100 300 1000
    OMP_NUM_THREADS=1 python -m benchmarks.scale --methods moasha --profile
"""

from __future__ import annotations

import argparse
import contextlib
import cProfile
import gc
import pstats
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.driven import Driven, Reading
from benchmarks.stopwatch import PARTS, Stopwatch
from lightning_primo.algorithms import (
    CMAES,
    MOASHA,
    MOBANANAS,
    MOBOHB,
    MSEHVI,
    NSGA2,
    SHEMOA,
    Algorithm,
    BulkAndCut,
    Hyperband,
    PriMO,
    RandomSearch,
    RegularizedEvolution,
)
from lightning_primo.store import Store

METHODS: dict[str, Callable[[int], Algorithm]] = {
    "random": lambda n: RandomSearch(),
    "moasha": lambda n: MOASHA(),
    "sh-emoa": lambda n: SHEMOA(full_trainings=max(1, 3 * n // 7)),  # whose three stages make n evaluations
    "hyperband": lambda n: Hyperband(),
    "cma-es": lambda n: CMAES(),
    "nsga2": lambda n: NSGA2(),
    "regularized-evolution": lambda n: RegularizedEvolution(),
    "primo": lambda n: PriMO(initial_design=RandomSearch(), n_init=_before(n, "primo")),
    "ms-ehvi": lambda n: MSEHVI(n_init=max(2, _before(n, "ms-ehvi"))),
    "mo-bohb": lambda n: MOBOHB(),
    "mo-bananas": lambda n: MOBANANAS(),
    "bulk-and-cut": lambda n: BulkAndCut(full_trainings=n),
}
"""From the number of evaluations to the algorithm."""

PLAIN = ("random", "moasha", "sh-emoa", "hyperband", "cma-es", "nsga2", "regularized-evolution")
SAMPLE_FIRST = ("primo", "ms-ehvi")  # until what is timed, so that each size is a search of its own


def durable_milliseconds(directory: Path, n_events: int = 100) -> float:
    """What an event on the disk takes longer than one that does not wait for it."""
    driven = Driven(RandomSearch(), directory)
    taken = []
    with Store(directory, driven.description) as store:
        for mode in ("FULL", "OFF"):
            store._connection.execute(f"PRAGMA synchronous = {mode}")
            start = time.perf_counter()
            for _ in range(n_events):
                proposal = driven.algorithm.ask()
                if proposal is not None:
                    store.ask(proposal, elapsed=0.0)
            taken.append(time.perf_counter() - start)
    return 1e3 * (taken[0] - taken[1]) / n_events


def show(name: str, sizes: Sequence[int], readings: Sequence[Reading]) -> None:
    """Print the rows of a method; `readings` are those at 0, and at nine tenths and the whole of each size."""
    first, *pairs = readings
    for size, before, now in zip(sizes, pairs[::2], pairs[1::2], strict=True):
        parts = _milliseconds(before, now, size - _before(size, name))
        rest = parts["total"] - parts["ask"] - parts["tell"] - parts["store"]
        average = _milliseconds(first, now, size)["total"]
        columns = [parts["ask"], parts["tell"], parts["store"], rest, parts["total"], average]
        model = ", ".join(f"{part} {parts[part]:.4g}" for part in PARTS if parts.get(part, 0.0) >= 0.1)
        figures = "".join(f"{column:10.2f}" for column in columns) + f"{now.memory - first.memory:10.1f}"
        print(f"{name:13s}{size:8,d}{figures}   {model}", flush=True)


def _milliseconds(before: Reading, now: Reading, n_evaluations: int) -> dict[str, float]:
    """Of the processor, per evaluation, by part and in total, without the outcomes."""
    clock = now.clock - before.clock
    each = 1e3 * (now.processor - before.processor) / n_evaluations / clock
    parts = {part: each * (seconds - before.parts.get(part, 0.0)) for part, seconds in now.parts.items()}
    return {**parts, "total": each * clock - parts["outcomes"]}


def _before(size: int, name: str) -> int:
    """The evaluations before those that are timed."""
    return size - max(1, min(size // 10, 100 if name in PLAIN else 10))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--methods", nargs="+", choices=METHODS, default=list(PLAIN[:3]), metavar="NAME", help=", ".join(METHODS)
    )
    parser.add_argument(
        "--sizes", nargs="+", type=int, default=[100, 1_000, 10_000], metavar="N", help="(default: %(default)s)"
    )
    parser.add_argument("--profile", action="store_true", help="print where the time goes")
    arguments = parser.parse_args()
    sizes = sorted(set(arguments.sizes))
    columns = ("ask", "tell", "store", "rest", "total", "average", "MiB")
    print(
        f"{'ms/evaluation':13s}{'size':>8s}" + "".join(f"{column:>10s}" for column in columns) + "   in asks",
        flush=True,
    )
    calls, parts = Stopwatch(), Stopwatch()
    parts.time_parts()
    with tempfile.TemporaryDirectory() as folder:
        for name in arguments.methods:
            for together in [[size] for size in sizes] if name in SAMPLE_FIRST else [sizes]:
                driven = Driven(METHODS[name](together[-1]), Path(folder) / f"{name}_{together[-1]}")
                profiler = cProfile.Profile() if arguments.profile else None
                points = [0, *(point for size in together for point in (_before(size, name), size))]
                gc.collect()
                show(name, together, driven.run(points, (calls, parts), profiler=profiler or contextlib.nullcontext()))
                if profiler:
                    pstats.Stats(profiler).sort_stats("tottime").print_stats(30)
        print(f"\nan event that waits for the disk takes {durable_milliseconds(Path(folder) / 'disk'):.2f} ms more")
        print(f"seconds to open {name} at {sizes[-1]:,d} evaluations again:")
        for what, seconds in driven.reopened().items():
            print(f"  {what:24s}{seconds:8.3f}")


if __name__ == "__main__":
    main()
