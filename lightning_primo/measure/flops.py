"""Multiply-adds of a forward pass.

One definition holds everywhere: counted are the multiply-adds of convolutions, (batched) matrix products, linear
layers and attention. Normalisation, activations, pooling, interpolation and elementwise work are not counted; neither
are biases. The unit is one multiply-add, as in the literature on architecture search and in fvcore; torch's
FlopCounterMode, of which the formulas are used here, reports twice as many.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import prod
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry, sdpa_flop_count

from lightning_primo.errors import NotMeasurableError, UncountedOperatorWarning
from lightning_primo.measure.inputs import call, to_device
from lightning_primo.measure.isolation import copied, devices_of, explained, isolated, require_initialised
from lightning_primo.measure.shapes import outputs_on_meta

Formula = Callable[..., int]

_META = torch.device("meta")
_aten = torch.ops.aten


def _matrix_vector(matrix: Tensor, _vector: Tensor, **_: Any) -> int:
    return 2 * matrix.numel()


def _add_matrix_vector(_bias: Tensor, matrix: Tensor, _vector: Tensor, **_: Any) -> int:
    return 2 * matrix.numel()


def _add_matrix_matrix(_bias: Tensor, a: Tensor, b: Tensor, **_: Any) -> int:
    return 2 * a.numel() * b.shape[-1]


def _outer(_bias: Tensor, a: Tensor, b: Tensor, **_: Any) -> int:
    return 2 * a.numel() * b.numel()


def _attention(query: Tensor, key: Tensor, value: Tensor, *_args: Any, **_: Any) -> int:
    return int(sdpa_flop_count(query.shape, key.shape, value.shape))  # type: ignore[no-untyped-call]


def _trilinear(
    a: Tensor, b: Tensor, c: Tensor, expand_a: list[int], expand_b: list[int], expand_c: list[int], *_: Any, **__: Any
) -> int:
    shapes = []
    for tensor, expand in ((a, expand_a), (b, expand_b), (c, expand_c)):
        shape = list(tensor.shape)
        for dim in sorted(expand):
            shape.insert(dim, 1)
        shapes.append(shape)
    return 2 * prod(torch.broadcast_shapes(*shapes))  # type: ignore[no-untyped-call]


# Products that torch's registry leaves out. All formulas give twice the multiply-adds, as those of the registry do.
_FORMULAS: dict[Any, Formula] = {
    _aten.mv: _matrix_vector,
    _aten.addmv: _add_matrix_vector,
    _aten.dot: _matrix_vector,
    _aten.vdot: _matrix_vector,
    _aten.addbmm: _add_matrix_matrix,
    _aten.addr: _outer,
    _aten._addmm_activation: _add_matrix_matrix,
    _aten._trilinear: _trilinear,
    _aten._scaled_dot_product_flash_attention_for_cpu: _attention,
    _aten._scaled_dot_product_fused_attention_overrideable: _attention,
}

# Arithmetic of torch's own that has no formula. Operators of other libraries are taken to do some, too.
_UNCOUNTED = (
    *("fft_", "_fft_", "linalg_", "_linalg_", "cholesky", "_cholesky", "lu_", "_lu_", "triangular_solve", "ormqr"),
    *("_cdist", "_pdist", "conv_tbc", "mkldnn_rnn", "_cudnn_rnn", "miopen_rnn", "_sparse_mm", "_sparse_addmm"),
    *("_int_mm", "_weight_int", "_grouped_mm", "_scaled_grouped_mm"),
    *("_native_multi_head_attention", "_transformer_encoder_layer_fwd"),
)
_FREE_OPERATORS = frozenset({"linalg_vector_norm", "linalg_cross"})
_FREE_NAMESPACES = frozenset({"aten", "prim", "prims", "profiler", "c10d", "_c10d_functional"})

_warned: set[str] = set()


class _Counter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Adds up the formulas of the operators that run inside.

    FlopCounterMode does this and also attributes the counts to submodules, which takes several times as long as the
    forward pass of a small network on the meta device.
    """

    supports_higher_order_operators = True

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.total = 0
        self.uncounted: set[str] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        shortcut = outputs_on_meta(func, args)
        if shortcut is not None:
            return shortcut(*args, **kwargs)
        packet = getattr(func, "_overloadpacket", func)
        formula = flop_registry.get(packet) or _FORMULAS.get(packet)
        if formula is None and isinstance(func, torch._ops.OpOverload) and func._can_decompose():
            # In inference mode composite operators such as linear arrive in one piece.
            with self:
                return func.decompose(*args, **kwargs)
        out = func(*args, **kwargs)
        if formula is not None:
            self.total += formula(*args, **kwargs, out_val=out)
        elif _does_arithmetic(func):
            self.uncounted.add(str(packet))
        return out


def _does_arithmetic(func: Any) -> bool:
    if func.namespace not in _FREE_NAMESPACES:
        return True
    name: str = func._schema.name.partition("::")[2]
    return func.namespace == "aten" and name.startswith(_UNCOUNTED) and name not in _FREE_OPERATORS


def count_flops(module: nn.Module, inputs: Any) -> int:
    """Multiply-adds of one forward pass of `module` in evaluation mode, for the batch in `inputs`.

    Counted are convolutions, (batched) matrix products, linear layers and attention; normalisation, activations,
    pooling and elementwise work are not. A causal mask saves nothing: attention counts in full. The pass runs on the
    meta device, on a copy of the module's structure where it lies elsewhere, so nothing is computed. Only a module
    that cannot run there (its forward looks at values) is run where it is. Either way the module, its buffers, its
    gradients and the random state stay as they were.

    Operators that do arithmetic but have no formula are named in one `UncountedOperatorWarning`, each once per process.
    A formula for an operator of your own is given by `torch.utils.flop_counter.register_flop_formula`, which
    expects two operations per multiply-add.

    Args:
        module: On any device, the meta device included.
        inputs: As for `inputs.call`, on any device.

    Raises:
        NotMeasurableError: If the module cannot be called with `inputs`, has lazy parameters, or lies on the meta
            device and cannot run there.
    """
    require_initialised(module)
    counter = _count(module, inputs)
    unknown = sorted(counter.uncounted - _warned)
    if unknown:
        _warned.update(unknown)
        warnings.warn(
            f"the FLOPs leave out operators without a formula: {', '.join(unknown)}; if they matter, give one by "
            "torch.utils.flop_counter.register_flop_formula (two operations per multiply-add)",
            UncountedOperatorWarning,
            stacklevel=2,
        )
    return counter.total // 2


def _count(module: nn.Module, inputs: Any) -> _Counter:
    devices = devices_of(module)
    on_meta = _META in devices
    try:
        shadow = module if on_meta else copied(module, device=_META)
        return _run(shadow, to_device(inputs, _META))
    except Exception as error:
        if on_meta:
            raise NotMeasurableError(
                f"{type(module).__name__} cannot run on the meta device ({type(error).__name__}: {error}); build it "
                "on the CPU to count its FLOPs"
            ) from error
    home = next(iter(devices), None)
    with explained(module, inputs):
        return _run(module, inputs if home is None else to_device(inputs, home))


def _run(module: nn.Module, inputs: Any) -> _Counter:
    counter = _Counter()
    with isolated(module), _eager(), counter:
        call(module, inputs)
    return counter


@contextmanager
def _eager() -> Iterator[None]:
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
