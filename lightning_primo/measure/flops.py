"""Multiply-adds of a forward pass.

One definition holds everywhere: counted are the multiply-adds of convolutions, (batched) matrix products, linear
layers, recurrent layers and attention. Normalisation, activations, pooling, interpolation, look-ups in embeddings and
elementwise work are not counted; neither are biases. An operator that does other arithmetic (a Fourier transform, a
solver, one of another library) has no count, and then neither has the module. The unit is one multiply-add, as in the
literature on architecture search and in fvcore; torch's FlopCounterMode, of which the formulas are used here, reports
twice as many.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from lightning_primo.errors import InvalidArgumentError, NotMeasurableError, UncountedOperatorError
from lightning_primo.measure.inputs import call, to_device
from lightning_primo.measure.isolation import copied, devices_of, explained, isolated, require_initialised
from lightning_primo.measure.operators import does_arithmetic, formula_of, on_dense
from lightning_primo.measure.shapes import outputs_on_meta

Uncounted = Literal["error", "ignore"]

_META = torch.device("meta")


class OperatorCounter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Adds up the formulas of the operators that run inside.

    FlopCounterMode does this and also attributes the counts to submodules, which takes several times as long as the
    forward pass of a small network on the meta device.

    Attributes:
        operations: Two for each multiply-add so far.
        uncounted: The operators so far that do arithmetic and have no formula, such as ``"aten._fft_r2c"``.
    """

    supports_higher_order_operators = True

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.operations = 0
        self.uncounted: set[str] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        shortcut = outputs_on_meta(func, args)
        if shortcut is not None:
            return shortcut(*args, **kwargs)
        packet = getattr(func, "_overloadpacket", func)
        formula = formula_of(packet)
        if formula is None and isinstance(func, torch._ops.OpOverload) and func._can_decompose():
            # In inference mode composite operators such as linear arrive in one piece.
            with self:
                return func.decompose(*args, **kwargs)
        out = func(*args, **kwargs)
        if formula is not None and on_dense(args):
            self.operations += formula(*args, **kwargs, out_val=out)
        elif formula is not None:
            self.uncounted.add(f"{packet} on sparse or nested tensors")
        elif does_arithmetic(func.namespace, func.name().partition("::")[2].partition(".")[0]):
            self.uncounted.add(str(packet))
        return out


def count_flops(module: nn.Module, inputs: Any, *, uncounted: Uncounted = "error") -> int:
    """Multiply-adds of one forward pass of `module` in evaluation mode, for the batch in `inputs`.

    Counted are convolutions, (batched) matrix products, linear and recurrent layers and attention; normalisation,
    activations, pooling and elementwise work are not. A causal mask saves nothing: attention counts in full, and so
    does each step of a recurrent layer that is not left out by packing. What is computed without torch's operators (in
    NumPy, in kernels called directly) is not seen. The pass runs on the meta device, on a copy of the module's
    structure where it lies elsewhere, so nothing is computed. Only a module that cannot run there (its forward looks
    at values) is run where it is. Either way the module, its buffers, its gradients and the random state stay as they
    were.

    A formula for an operator of your own is given by `torch.utils.flop_counter.register_flop_formula`, which
    expects two operations per multiply-add.

    Args:
        module: On any device, the meta device included.
        inputs: As for `inputs.call`, on any device.
        uncounted: What an operator means that does arithmetic but has no formula: ``"error"``, or ``"ignore"`` to
            leave it out of the count.

    Raises:
        InvalidArgumentError: For another `uncounted`.
        UncountedOperatorError: If there is such an operator, which is then named; one that works on sparse or nested
            tensors is among them.
        NotMeasurableError: If the module cannot be called with `inputs`, has lazy parameters, or lies on the meta
            device and cannot run there.
    """
    check_uncounted(uncounted)
    counter = run_counted(module, inputs)
    if counter.uncounted and uncounted == "error":
        raise UncountedOperatorError(sorted(counter.uncounted), type(module).__name__)
    return counter.operations // 2


def check_uncounted(uncounted: str) -> None:
    """Raise an InvalidArgumentError unless it is ``"error"`` or ``"ignore"``."""
    if uncounted not in ("error", "ignore"):
        raise InvalidArgumentError(f"'uncounted' must be 'error' or 'ignore', got {uncounted!r}")


Watch = Callable[[nn.Module, OperatorCounter], Any]
"""A context manager entered around the call: it sees the module that is really called, and the counter."""


def run_counted(module: nn.Module, inputs: Any, watch: Watch | None = None) -> OperatorCounter:
    """Call `module` once as `count_flops` does, and return the counter.

    Args:
        module: As for `count_flops`.
        inputs: As for `count_flops`.
        watch: Entered around the call; where the meta device fails, a second time.

    Raises:
        NotMeasurableError: As `count_flops`.
    """
    require_initialised(module)
    devices = devices_of(module)
    on_meta = _META in devices
    try:
        shadow = module if on_meta else copied(module, device=_META)
        return _run(shadow, to_device(inputs, _META), watch)
    except Exception as error:
        if on_meta:
            raise NotMeasurableError(
                f"{type(module).__name__} cannot run on the meta device ({type(error).__name__}: {error}); build it "
                "on the CPU to count its FLOPs"
            ) from error
    home = next(iter(devices), None)
    with explained(module, inputs):
        return _run(module, inputs if home is None else to_device(inputs, home), watch)


def _run(module: nn.Module, inputs: Any, watch: Watch | None) -> OperatorCounter:
    counter = OperatorCounter()
    with isolated(module), eager(), counter:
        if watch is None:
            call(module, inputs)
        else:
            with watch(module, counter):
                call(module, inputs)
    return counter


@contextmanager
def eager() -> Iterator[None]:
    """Run operators one by one: no fused transformer layers, no compiled graphs."""
    fused = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        # Without this import nothing is compiled, and it takes seconds.
        if "torch._dynamo" in sys.modules:
            with torch.compiler.set_stance("force_eager"):
                yield
        else:
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fused)
