"""Function-preserving morphisms: larger networks that compute what their parents do (Net2Net, Chen et al. 2015).

A child is built from its own configuration first; here its weights are set. In eval mode its outputs equal the
parent's up to rounding, and to the noise that lets new units grow apart.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Protocol

import torch
from torch import Tensor, nn

from lightning_primo.errors import InvalidArgumentError, UnknownNameError
from lightning_primo.nas.chain import Link, Norm, chain, describe
from lightning_primo.nas.pruning import prune
from lightning_primo.nas.weight_transfer import (
    check_noise,
    check_only_widths_differ,
    check_outside,
    copy_link,
    copy_outside,
    map_units,
    perturb,
)

NOISE = 1e-3
"""Default size of the noise on new units, relative to the Euclidean norm of their weights."""


def deepen(child: nn.Module, parent: nn.Module, *, noise: float = NOISE, generator: torch.Generator) -> None:
    """Set the weights of `child`, which has one stage more, so that it computes what `parent` does.

    The new layer is the identity and acts on the ReLU'd outputs of a stage of its kind. It comes before the pooling,
    and before a batch normalisation that follows the ReLU: these belong to the new stage, and in their place the old
    stage has no pooling, and a batch normalisation that passes its inputs through, exactly in eval mode and nearly so
    in train mode. Where the chains allow several places, it is the first; the function is the same for all.

    Args:
        child: Freshly built from its own configuration; the only one that changes.
        parent: The chain with one stage less.
        noise: Size of the normal noise on the new layer's weights, relative to the norm of each unit's; 0 for none.
        generator: Draws the noise.

    Raises:
        InvalidArgumentError: If `child` is not `parent` with one such stage more, or one of them is not a chain.
    """
    check_noise(noise)
    grown, links = chain(child), chain(parent)
    place = next((i for i in range(len(links) - 1) if _fits(grown, links, i)), None)
    if place is None:
        raise InvalidArgumentError(
            "'deepen' needs a child with one stage more than its parent: a layer of stride 1, as wide as the one "
            "before and of its kind, with an odd kernel and same padding, that takes over the pooling of that stage, "
            f"after whose ReLU it comes; the child is {describe(grown)}, the parent {describe(links)}"
        )
    check_outside(child, grown, parent, links)
    old, new, source = grown[place], grown[place + 1], links[place]
    with torch.no_grad():
        for link, given in zip([*grown[: place + 1], *grown[place + 2 :]], links, strict=True):
            copy_link(link, given)
        _set_to_identity(new.layer)
        perturb(new.layer.weight, noise, generator)
        if old.norm is not None and new.norm is not None and source.norm is not None:
            new.norm.load_state_dict(source.norm.state_dict())
            if isinstance(source.after[0], nn.ReLU):
                # The parent's running statistics are those of just these activations.
                _pass_through(old.norm)
            else:
                _set_to_rectified_statistics(new.norm)
                _pass_through(new.norm)
        copy_outside(child, grown, parent, links)


def widen(child: nn.Module, parent: nn.Module, *, noise: float = NOISE, generator: torch.Generator) -> None:
    """Set the weights of `child`, whose stages are as wide or wider, so that it computes what `parent` does.

    Net2WiderNet (Chen et al. 2015): the additional units are copies of random ones, and the next layer's
    weights for a unit are divided by the number of its copies.

    Args:
        child: Freshly built from its own configuration; the only one that changes.
        parent: A chain of as many stages, none wider.
        noise: Size of the normal noise on the weights of the additional units, relative to the norm of each unit's;
            0 for none. Without it copies stay copies in the training.
        generator: Draws the copied units, then the noise.

    Raises:
        InvalidArgumentError: If `child` is no wider version of `parent`, or one of them is not a chain.
    """
    check_noise(noise)
    wide, links = chain(child), chain(parent)
    check_only_widths_differ(wide, links, "widen")
    pairs = list(zip(wide[:-1], links[:-1], strict=True))
    narrower = [f"{a.width!r} ({b.units} -> {a.units})" for a, b in pairs if a.units < b.units]
    if narrower:
        raise InvalidArgumentError(f"'widen' needs a child with no stage narrower than its parent's, got {narrower[0]}")
    check_outside(child, wide, parent, links)
    copied = [_copies(link.units, given.units, generator) for link, given in pairs]
    shares = [1 / units.bincount()[units] for units in copied]
    with torch.no_grad():
        map_units(wide, links, copied, shares)
        for link, given in pairs:
            perturb(link.layer.weight[given.units :], noise, generator)
        copy_outside(child, wide, parent, links)


class Operation(Protocol):
    """Sets the weights of `child` from those of `parent`."""

    def __call__(self, child: nn.Module, parent: nn.Module, *, generator: torch.Generator) -> None: ...  # noqa: D102


OPERATIONS: Mapping[str, Operation] = {"deepen": deepen, "widen": widen, "prune": prune}
"""The operations of `inherit`, by name."""


def inherit(child: nn.Module, parent: nn.Module, operation: str, generator: torch.Generator) -> None:
    """Set the weights of `child` from those of `parent` by `deepen`, `widen` or `prune`.

    Args:
        child: Freshly built from its own configuration; the only one that changes.
        parent: The trained network.
        operation: Key of `OPERATIONS`.
        generator: Draws what the operation draws.

    Raises:
        UnknownNameError: If there is no such operation.
        InvalidArgumentError: If the networks do not fit the operation, or one of them is not a chain.
    """
    if operation not in OPERATIONS:
        raise UnknownNameError("'operation'", operation, OPERATIONS)
    OPERATIONS[operation](child, parent, generator=generator)


def _copies(n_units: int, n_given: int, generator: torch.Generator) -> Tensor:
    """For each of `n_units` units which of `n_given` it is: all of these first, then random ones."""
    additional = torch.randint(n_given, (n_units - n_given,), generator=generator)
    return torch.cat([torch.arange(n_given), additional])


def _fits(grown: Sequence[Link], links: Sequence[Link], i: int) -> bool:
    """Whether `grown` is `links` with an identity layer after stage `i`."""
    if len(grown) != len(links) + 1:
        return False
    old, new, source = grown[i], grown[i + 1], links[i]
    # What the new layer must come after; what else follows the old one moves behind the new one.
    first = 1 if source.norm is None else 2
    return (
        any(isinstance(module, nn.ReLU) for module in source.after[:first])
        and (source.norm is None or source.norm in source.after[:first])
        and old.tokens == source.tokens[:first]
        and _shape(old) == _shape(source)
        and new.kind == source.kind
        and new.tokens == source.tokens
        and _can_be_identity(new)
        and all(map(_alike, grown[:i], links[:i]))
        and all(map(_alike, grown[i + 2 :], links[i + 1 :]))
    )


def _shape(link: Link) -> tuple[object, ...]:
    return (link.inputs, link.units, link.kind)


def _alike(one: Link, other: Link) -> bool:
    return _shape(one) == _shape(other) and one.tokens == other.tokens


def _can_be_identity(link: Link) -> bool:
    layer = link.layer
    if link.inputs != link.units or isinstance(layer, nn.Linear):
        return link.inputs == link.units
    same = tuple(d * (k - 1) // 2 for d, k in zip(layer.dilation, layer.kernel_size, strict=True))
    odd = all(k % 2 for k in layer.kernel_size)
    return odd and set(layer.stride) == {1} and layer.padding in ("same", same)


def _set_to_identity(layer: nn.Conv2d | nn.Linear) -> None:
    (nn.init.dirac_ if isinstance(layer, nn.Conv2d) else nn.init.eye_)(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)


def _tensors(norm: Norm) -> tuple[Tensor, Tensor]:
    """Running mean and variance; the chain's check has seen that there are any."""
    if norm.running_mean is None or norm.running_var is None:
        raise InvalidArgumentError(f"a batch normalisation with track_running_stats=True is needed, got {norm}")
    return norm.running_mean, norm.running_var


def _pass_through(norm: Norm) -> None:
    """Undo by weight and bias what the normalisation by its running statistics does."""
    mean, variance = _tensors(norm)
    norm.weight.copy_((variance + norm.eps).sqrt())
    norm.bias.copy_(mean)


def _set_to_rectified_statistics(norm: Norm) -> None:
    """Running statistics as of the ReLU of this normalisation's own outputs, were these normally distributed."""
    mean, deviation = norm.bias, norm.weight.abs().clamp_min(1e-12)
    z = mean / deviation
    below = torch.special.ndtr(z)
    density = (-z.square() / 2).exp() / math.sqrt(2 * math.pi)
    first = mean * below + deviation * density
    second = (mean.square() + deviation.square()) * below + mean * deviation * density
    running_mean, running_variance = _tensors(norm)
    running_mean.copy_(first)
    running_variance.copy_((second - first.square()).clamp_min(0))
