"""What was measured of the same network before, by another configuration of a search."""

from __future__ import annotations

import hashlib
import json
import math
import threading
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn
from typing_extensions import override

from lightning_primo.errors import UnsteadyMeasurementWarning
from lightning_primo.layout import write_atomically
from lightning_primo.measure.forward_trace import network_key
from lightning_primo.measure.inputs import first_sample, to_device
from lightning_primo.measure.isolation import devices_of
from lightning_primo.objectives.benches.bench import Bench, M
from lightning_primo.objectives.benches.settled_runtime import SettledRuntime
from lightning_primo.problem.place import Place, same_place


@dataclass(frozen=True)
class RememberedBench(Bench[M]):
    """A bench that measures each network once, for all processes that share a folder.

    Networks are told apart by what they compute (`measure.forward_trace.network_key`), whatever their weights. What
    Python does beside the operators is not in that; so where Python runs with every call, in `Eager`, a value that is
    found is checked by a few calls, and measured anew where these do not confirm it, within three standard deviations
    of both or 10 %; the gap counts to its deviation. An unsteady measurement is not kept, nor one that another device
    answered than was asked at first.

    Args:
        bench: What measures.
        folder: For the values, a file each, which are never seen half-written; made where it is missing.
    """

    bench: Bench[M]
    folder: Path

    @property
    @override
    def kind(self) -> type[M]:
        return self.bench.kind

    @property
    @override
    def noisy(self) -> bool:
        return self.bench.noisy

    @property
    @override
    def elsewhere(self) -> bool:
        return self.bench.elsewhere

    @override
    def measure(self, module: nn.Module, inputs: Any, *, batch_size: int | None) -> M:
        return self.begin(module, inputs, batch_size=batch_size)(threading.Event())

    @override
    def begin(self, module: nn.Module, inputs: Any, *, batch_size: int | None) -> Callable[[threading.Event], M]:
        if self.bench.leaves_runtime_open:
            return self._settled(module, inputs, batch_size)
        key = _key(module, inputs, batch_size)
        place = {} if key is None else self.place(batch_size=batch_size)
        file = None if key is None else self._file(key, place)
        found = None if file is None else _read(file, self.kind)
        if found is not None and same_place(found.measured_on, place):
            reused = self._confirmed(found, module, inputs, batch_size)
            if reused is not None:
                return lambda stop: reused
        wait = self.bench.begin(module, inputs, batch_size=batch_size)

        def measurement(stop: threading.Event) -> M:
            measured = wait(stop)
            # While it was waited for, another device may have come to the same address.
            if file is not None and measured.steady and same_place(measured.measured_on, place):
                self.folder.mkdir(parents=True, exist_ok=True)
                write_atomically(file, json.dumps(asdict(measured)))
            return measured

        return measurement

    @override
    def place(self, *, batch_size: int | None) -> Place:
        return self.bench.place(batch_size=batch_size)

    @override
    def as_on(self, place: Place) -> Bench[M]:
        return RememberedBench(self.bench.as_on(place), self.folder)

    @override
    def settings(self) -> dict[str, Any]:
        return self.bench.settings()

    def _settled(self, module: nn.Module, inputs: Any, batch_size: int | None) -> Callable[[threading.Event], M]:
        """The same once it is settled in which runtime the whole search measures."""
        settled = SettledRuntime(self.folder, self.bench, self.place(batch_size=batch_size))
        bench = settled.read()
        if bench is None:
            measured = self.bench.measure(module, inputs, batch_size=batch_size)
            bench = settled.settle(measured.measured_on)
            if same_place(bench.place(batch_size=batch_size), measured.measured_on):
                return lambda stop: measured
        return RememberedBench(bench, self.folder).begin(module, inputs, batch_size=batch_size)

    def _file(self, key: str, place: Place) -> Path:
        """Where the value of a network is kept that is measured at `place`."""
        settings = {name: value for name, value in self.settings().items() if name not in _OF_THE_PLACE}
        what = [self.kind.__name__, key, dict(place), settings, torch.__version__]
        return self.folder / f"{hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()}.json"

    def _confirmed(self, found: M, module: nn.Module, inputs: Any, batch_size: int | None) -> M | None:
        """What is told of a value that was found; None where a few calls do not confirm it.

        The gap between the two is in its deviation.
        """
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UnsteadyMeasurementWarning)
            checked = self.bench.glance(module, inputs, batch_size=batch_size)
        if checked is None:
            return replace(found, reused=True)
        gap = abs(checked.median - found.median)
        told = replace(found, deviation=math.hypot(found.deviation, gap), reused=True)
        near = gap <= max(_CONFIRMS * found.median, _SIGMAS * math.hypot(found.deviation, checked.deviation))
        return told if near and told.steady else None


_OF_THE_PLACE = ("device", "threads")  # which has them as they are found, or settled
_SIGMAS = 3.0
_CONFIRMS = 0.1  # relative: what a few calls may be off by where both say that they are exact


def _key(module: nn.Module, inputs: Any, batch_size: int | None) -> str | None:
    """Tells this network from others; None where that cannot be."""
    device = next(iter(devices_of(module)), torch.device("cpu"))
    return network_key(module, to_device(first_sample(inputs, batch_size), device))


def _read(file: Path, kind: type[M]) -> M | None:
    try:
        return kind(**json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):  # there is none, or one of another version
        return None
