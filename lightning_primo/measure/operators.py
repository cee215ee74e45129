"""Which operators multiply and add, and how often: the formulas, and how those without one are recognised.

All formulas give two operations per multiply-add, as those of torch's registry do. A formula is for dense tensors:
with sparse or nested ones the operator counts as one without a formula.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import flop_registry

Formula = Callable[..., int]

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
    # Several heads of the query may share one of key and value: the query's are those that are computed.
    return 2 * prod(query.shape[:-1]) * key.shape[-2] * (query.shape[-1] + value.shape[-1])


def _recurrent(inputs: Tensor, weights: Sequence[Tensor], *_: Any, **__: Any) -> int:
    # Each matrix meets each step of each sequence once; of packed sequences the steps lie in one dimension.
    return 2 * prod(inputs.shape[:-1]) * sum(weight.numel() for weight in weights if weight.ndim == 2)


def _recurrent_layer(inputs: Tensor, from_input: Tensor, from_hidden: Tensor, *_: Any, **__: Any) -> int:
    return _recurrent(inputs, (from_input, from_hidden))


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


# Products that torch's registry leaves out.
_FORMULAS: dict[Any, Formula] = {
    _aten.mv: _matrix_vector,
    _aten.addmv: _add_matrix_vector,
    _aten.dot: _matrix_vector,
    _aten.vdot: _matrix_vector,
    _aten.addbmm: _add_matrix_matrix,
    _aten.addr: _outer,
    _aten._addmm_activation: _add_matrix_matrix,
    _aten._trilinear: _trilinear,
    _aten._cudnn_rnn: _recurrent,
    _aten.miopen_rnn: _recurrent,
    _aten.mkldnn_rnn_layer: _recurrent_layer,
    _aten._scaled_dot_product_flash_attention_for_cpu: _attention,
    _aten._scaled_dot_product_fused_attention_overrideable: _attention,
}

# Words in the names of torch's operators that do arithmetic. Operators of other libraries are taken to do some, too.
_WORDS = frozenset(
    {
        *("mv", "addmv", "dot", "vdot", "addr", "matmul", "linear", "trilinear", "attention", "transformer"),
        *("rnn", "lstm", "gru", "conv", "convolution", "depthwise2d", "depthwise3d", "tbc"),
        *("fft", "linalg", "cholesky", "lu", "geqrf", "orgqr", "ormqr", "solve", "spsolve", "svd", "qr", "triangular"),
        *("cdist", "pdist", "combination"),
    }
)
_ENDINGS = ("mm", "mv")  # mm, addmm, bmm, sspaddmm, ...
_BEGINNINGS = ("conv1", "conv2", "conv3")
FREE_OPERATORS = frozenset(
    {
        *("linalg_vector_norm", "linalg_cross", "linalg_diagonal", "linalg_vander", "linalg__powsum"),
        *("_linalg_check_errors", "lu_unpack", "fft_fftfreq", "fft_rfftfreq", "fft_fftshift", "fft_ifftshift"),
        # The matrix products of a cell come before these, as operators of their own.
        *("_thnn_fused_lstm_cell", "_thnn_fused_gru_cell"),
        *("_cudnn_rnn_flatten_weight", "_use_cudnn_rnn_flatten_weight"),
        *("mkldnn_reorder_conv2d_weight", "mkldnn_reorder_conv3d_weight"),
    }
)
_FREE_NAMESPACES = frozenset({"aten", "prim", "prims", "profiler", "c10d", "_c10d_functional"})


def formula_of(packet: Any) -> Formula | None:
    """The formula of an operator, whatever its overload; one that works in place has that of its twin."""
    found = flop_registry.get(packet) or _FORMULAS.get(packet)
    name = str(getattr(packet, "__name__", ""))
    if found is None and name.endswith("_") and str(packet).startswith("aten."):
        twin = getattr(_aten, name.rstrip("_"), None)
        return None if twin is None else flop_registry.get(twin) or _FORMULAS.get(twin)
    return found


def on_dense(args: Sequence[Any]) -> bool:
    """Whether all tensors among the arguments of an operator are dense, as the formulas take them to be."""
    return all(arg.layout in (torch.strided, torch._mkldnn) for arg in args if isinstance(arg, Tensor))  # type: ignore[attr-defined]


def does_arithmetic(namespace: str, name: str) -> bool:
    """Whether an operator without a formula multiplies and adds, as far as its name tells.

    Args:
        namespace: ``"aten"`` for torch's own.
        name: Without namespace and overload.
    """
    if namespace not in _FREE_NAMESPACES:
        return True
    if namespace != "aten" or name in FREE_OPERATORS:
        return False
    words = name.split("_")
    return any(word in _WORDS or word.endswith(_ENDINGS) or word.startswith(_BEGINNINGS) for word in words)
