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
from lightning_primo.measure.latency import reference_for, threads_set
from lightning_primo.measure.turns import quiet_machine
from lightning_primo.timing import RoundRobin, time_in_turn
from lightning_primo.timing.round_robin import SECONDS, check_seconds


def compare_latencies(
    modules: Sequence[nn.Module],
    inputs: Any,
    *,
    device: str | torch.device = "auto",
    batch_size: int | None = 1,
    threads: int | None = None,
    seconds: float = SECONDS,
) -> RoundRobin:
    """The latencies of `modules`, a few milliseconds of each in turn, so that what the machine does meets all alike.

    Their ratios are known better than those of measurements one after the other, on a machine that is busy by much;
    see `timing.time_in_turn`.

    Args:
        modules: One or more, each as for `measure_latency`; all are on the device at the same time.
        inputs: As for `measure_latency`, the same for all.
        device: As for `measure_latency`.
        batch_size: As for `measure_latency`.
        threads: As for `measure_latency`.
        seconds: Of calls of each.

    Raises:
        InvalidArgumentError: As `measure_latency`, and for no modules.
        NotMeasurableError: As `measure_latency`.
    """
    if batch_size is not None:
        check_whole("batch_size", batch_size, least=1)
    if threads is not None:
        check_whole("threads", threads, least=1)
    check_seconds(seconds)
    place = resolve_device(device)
    own = [placed(module, device=place) for module in modules]
    inputs = to_device(first_sample(inputs, batch_size), place)

    def runs_of(module: nn.Module) -> Callable[[], None]:
        def run() -> None:
            call(module, inputs)
            synchronize(place)

        return run

    runs = [runs_of(module) for module in own]
    with ExitStack() as stack:
        stack.enter_context(threads_set(threads))
        for module in own:
            stack.enter_context(isolated(module))
        stack.enter_context(torch.inference_mode())
        for module, run in zip(own, runs, strict=True):
            with explained(module, inputs):
                run()
        return time_in_turn(runs, seconds=seconds, reference=reference_for(place), around=quiet_machine)
