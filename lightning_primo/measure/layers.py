"""What each submodule of a module costs, beside fvcore's count, so that a wrong count shows where it is."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

import torch
from torch import nn

from lightning_primo.checks import check_whole
from lightning_primo.errors import NotMeasurableError, first_line
from lightning_primo.measure.devices import device_name, resolve_device, synchronize
from lightning_primo.measure.flops import OperatorCounter, run_counted
from lightning_primo.measure.fvcore_count import FvcoreCount, fvcore_count
from lightning_primo.measure.inputs import call, first_sample, tensors, to_device
from lightning_primo.measure.isolation import explained, isolated, placed
from lightning_primo.measure.turns import quiet_machine


@dataclass(frozen=True, kw_only=True)
class LayerProfile:
    """What a submodule costs in one forward pass of the whole, all that is below it included.

    Args:
        name: As in ``named_modules``; ``""`` is the whole module.
        module: Name of its class.
        calls: How often it is called; 0 where it is not, or only a method of it other than ``forward``.
        parameters: Scalars in its parameters, those shared with others included.
        flops: Multiply-adds as `count_flops` counts them.
        uncounted: Operators in it that do arithmetic and have no formula, so that `flops` is too low.
        fvcore: Multiply-adds as fvcore counts them; None where fvcore could not trace the module.
        unsupported: Operators in it that fvcore has no formula for.
        activations: Scalars in the tensors that it returns.
        latency_share: Its part of the time of the whole module, from 0 to 1 where nothing runs twice.
    """

    name: str
    module: str
    calls: int
    parameters: int
    flops: int
    uncounted: tuple[str, ...]
    fvcore: int | None
    unsupported: tuple[str, ...]
    activations: int
    latency_share: float

    @property
    def difference(self) -> int | None:
        """Our count minus fvcore's; None where there is none."""
        return None if self.fvcore is None else self.flops - self.fvcore


@dataclass(frozen=True, kw_only=True)
class Profile:
    """The submodules of a module by what they cost.

    Args:
        layers: The largest first: by multiply-adds, then by parameters. The whole module is among them.
        device: Where the latency was measured.
        hardware: Model of the device.
        batch_size: Samples in the batch; None for the inputs as they are.
        fvcore_failure: Why fvcore has no count; None where it has.
    """

    layers: tuple[LayerProfile, ...]
    device: str
    hardware: str
    batch_size: int | None
    fvcore_failure: str | None

    def to_dict(self) -> dict[str, Any]:
        """Everything as nested mappings, lists, numbers and strings, with the differences of the counts."""
        layers = [{**asdict(layer), "difference": layer.difference} for layer in self.layers]
        return {**asdict(self), "layers": layers}

    def lines(self) -> list[str]:
        """A table as text, and what the counters leave out below it."""
        header, rows = self.table()
        widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
        aligned = (
            "  ".join([cells[0].ljust(widths[0]), *map(str.rjust, cells[1:], widths[1:])]) for cells in (header, *rows)
        )
        return [*aligned, *self.notes()]

    def __str__(self) -> str:
        return "\n".join(self.lines())

    def table(self) -> tuple[list[str], list[list[str]]]:
        """The names of the columns, and a row of cells per submodule."""
        header = ["layer", "parameters", "multiply-adds", "fvcore", "difference", "activations", "latency"]
        rows = []
        for layer in self.layers:
            mark = "*" if layer.uncounted else ""
            difference = layer.difference
            rows.append(
                [
                    f"{layer.name or '(all)'} {layer.module}",
                    f"{layer.parameters:,}",
                    f"{layer.flops:,}{mark}",
                    "?" if layer.fvcore is None else f"{layer.fvcore:,}",
                    "" if not difference else f"{difference:+,}",
                    f"{layer.activations:,}",
                    f"{layer.latency_share:.1%}",
                ]
            )
        return header, rows

    def notes(self) -> list[str]:
        """What is not in the numbers."""
        whole = next(layer for layer in self.layers if not layer.name)
        notes = []
        if whole.uncounted:
            notes.append(f"* without {', '.join(whole.uncounted)}, which have no formula")
        if self.fvcore_failure is not None:
            notes.append(f"fvcore has no count: {self.fvcore_failure}")
        if whole.unsupported:
            notes.append(f"not counted by fvcore: {', '.join(whole.unsupported)}")
        return notes


def profile(
    module: nn.Module,
    inputs: Any,
    *,
    device: str | torch.device = "auto",
    batch_size: int | None = 1,
    runs: int = 10,
) -> Profile:
    """What each submodule of `module` costs in a forward pass in evaluation mode.

    Counts are of the batch that is given by `batch_size`, all of them. Latencies come from hooks that wait for the
    device before and after each submodule, so that their sum exceeds the latency of the module alone.

    Args:
        module: Not on the meta device; it and the random state stay as they were.
        inputs: As for `inputs.call`, of any batch size and on any device.
        device: Where the latency is measured; see `devices.resolve_device`.
        batch_size: Samples in the batch; None for the inputs as they are.
        runs: Timed forward passes, of which the median counts; three untimed ones come before.

    Raises:
        InvalidArgumentError: For a device that is not there, or numbers out of range.
        NotMeasurableError: If the module cannot be called with `inputs`, has lazy parameters, or lies on the meta
            device.
    """
    check_whole("runs", runs, least=1)
    place = resolve_device(device)
    inputs = first_sample(inputs, batch_size)
    module = placed(module, device=place)
    counts = _Counts()
    total = run_counted(module, inputs, counts.watching)
    times = _times(module, to_device(inputs, place), place, runs)
    failure: str | None = None
    reference = FvcoreCount(total=0, by_submodule={}, unsupported={})
    try:
        reference = fvcore_count(module, inputs)
    except NotMeasurableError as error:
        failure = first_line(str(error))
    whole = times[""]
    layers = [
        LayerProfile(
            name=name,
            module=type(child).__name__,
            calls=counts.calls[name],
            parameters=sum(parameter.numel() for parameter in child.parameters()),
            flops=(counts.operations[name] if name else total.operations) // 2,
            uncounted=tuple(sorted(counts.uncounted.get(name, set()) if name else total.uncounted)),
            fvcore=None if failure is not None else reference.by_submodule.get(name, 0),
            unsupported=reference.unsupported.get(name, ()),
            activations=counts.activations[name],
            latency_share=times.get(name, 0.0) / whole if whole else 0.0,
        )
        for name, child in module.named_modules()
    ]
    layers.sort(key=lambda layer: (-layer.flops, -layer.parameters, layer.name))
    return Profile(
        layers=tuple(layers),
        device=str(place),
        hardware=device_name(place),
        batch_size=batch_size,
        fvcore_failure=failure,
    )


class _Counts:
    """Multiply-adds, calls and outputs by submodule, collected while the module runs once."""

    def __init__(self) -> None:
        self._start()

    def _start(self) -> None:
        self.calls: Counter[str] = Counter()
        self.operations: Counter[str] = Counter()
        self.activations: Counter[str] = Counter()
        self.uncounted: dict[str, set[str]] = {}

    @contextmanager
    def watching(self, module: nn.Module, counter: OperatorCounter) -> Iterator[None]:
        """Collect what `counter` counts in each submodule of `module`, from nothing on."""
        self._start()
        before: dict[str, list[tuple[int, set[str]]]] = {}

        def enter(name: str) -> None:
            before.setdefault(name, []).append((counter.operations, counter.uncounted))
            counter.uncounted = set()

        def leave(name: str, outputs: Any) -> None:
            operations, uncounted = before[name].pop()
            self.calls[name] += 1
            self.operations[name] += counter.operations - operations
            self.activations[name] += sum(tensor.numel() for tensor in tensors(outputs))
            self.uncounted.setdefault(name, set()).update(counter.uncounted)
            counter.uncounted = uncounted | counter.uncounted

        with _hooked(module, enter, leave):
            yield


def _times(module: nn.Module, inputs: Any, place: torch.device, runs: int) -> dict[str, float]:
    """Seconds in each submodule, over all its calls in a forward pass: the median over the passes."""
    spent: dict[str, list[float]] = {}
    started: dict[str, list[float]] = {}
    now: Counter[str] = Counter()

    def enter(name: str) -> None:
        synchronize(place)
        started.setdefault(name, []).append(time.perf_counter())

    def leave(name: str, _outputs: Any) -> None:
        synchronize(place)
        now[name] += time.perf_counter() - started[name].pop()  # type: ignore[assignment]

    with quiet_machine(), isolated(module), torch.inference_mode(), explained(module, inputs):
        for _ in range(3):
            call(module, inputs)
        with _hooked(module, enter, leave):
            for _ in range(runs):
                now.clear()
                call(module, inputs)
                for name, seconds in now.items():
                    spent.setdefault(name, []).append(seconds)
    return {name: median(seconds) for name, seconds in spent.items()}


@contextmanager
def _hooked(module: nn.Module, enter: Any, leave: Any) -> Iterator[None]:
    """Call `enter` with a submodule's name before, and `leave` with name and outputs after each of its calls."""
    with ExitStack() as stack:
        for name, child in module.named_modules():
            before = child.register_forward_pre_hook(lambda _m, _args, name=name: enter(name))
            stack.callback(before.remove)
            after = child.register_forward_hook(lambda _m, _args, out, name=name: leave(name, out))
            stack.callback(after.remove)
        yield
