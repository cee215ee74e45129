"""The latencies of several modules, measured in turn: which is quicker, and by how much."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any

import torch
from torch import nn

from lightning_primo.checks import check_whole
from lightning_primo.measure.devices import resolve_device, synchronize
from lightning_primo.measure.inputs import call, first_sample, to_device
from lightning_primo.measure.isolation import explained, isolated, placed
from lightning_primo.measure.latency import reference_for
from lightning_primo.measure.turns import quiet_machine
from lightning_primo.timing import Timing, time_interleaved
from lightning_primo.timing.timer import MAX_SECONDS, PRECISION, WARMUP, check_timing


def compare_latencies(
    modules: Sequence[nn.Module],
    inputs: Any,
    *,
    device: str | torch.device = "auto",
    batch_size: int | None = 1,
    threads: int | None = None,
    precision: float = PRECISION,
    max_seconds: float = MAX_SECONDS,
    warmup: float = WARMUP,
) -> list[Timing]:
    """The latencies of `modules`, a few milliseconds of each in turn, so that what the machine does meets all alike.

    Their ratios are known better than those of measurements one after the other, on a machine that is busy by much.

    Args:
        modules: Each as for `measure_latency`; all are on the device at the same time.
        inputs: As for `measure_latency`, the same for all.
        device: As for `measure_latency`.
        batch_size: As for `measure_latency`.
        threads: As for `measure_latency`.
        precision: As for `measure_latency`; of each.
        max_seconds: For each; as for `measure_latency`.
        warmup: For each; as for `measure_latency`.

    Returns:
        One for each module, in their order.

    Raises:
        InvalidArgumentError: As `measure_latency`.
        NotMeasurableError: As `measure_latency`.
    """
    if batch_size is not None:
        check_whole("batch_size", batch_size, least=1)
    if threads is not None:
        check_whole("threads", threads, least=1)
    check_timing(precision=precision, max_seconds=max_seconds, warmup=warmup)
    place = resolve_device(device)
    own = [placed(module, device=place) for module in modules]
    inputs = to_device(first_sample(inputs, batch_size), place)

    def runs_of(module: nn.Module) -> Callable[[], None]:
        def run() -> None:
            call(module, inputs)
            synchronize(place)

        return run

    runs = [runs_of(module) for module in own]
    before = torch.get_num_threads()
    torch.set_num_threads(before if threads is None else threads)
    try:
        with ExitStack() as stack:
            stack.enter_context(quiet_machine())
            for module in own:
                stack.enter_context(isolated(module))
            stack.enter_context(torch.inference_mode())
            for module, run in zip(own, runs, strict=True):
                with explained(module, inputs):
                    run()
            return time_interleaved(
                runs, precision=precision, max_seconds=max_seconds, warmup=warmup, reference=reference_for(place)
            )
    finally:
        torch.set_num_threads(before)
