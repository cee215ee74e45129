"""What the morphisms and pruning have in common: copying tensors between chains, unit by unit."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from lightning_primo.errors import InvalidArgumentError
from lightning_primo.nas.chain import Link, describe, positions


def check_only_widths_differ(child: Sequence[Link], parent: Sequence[Link], operation: str) -> None:
    """Raise InvalidArgumentError unless the chains differ in nothing but the numbers of units between their ends."""
    same = (
        [(link.kind, link.tokens) for link in child] == [(link.kind, link.tokens) for link in parent]
        and (child[0].inputs, child[-1].units) == (parent[0].inputs, parent[-1].units)
        and all(positions(*child[k : k + 2]) == positions(*parent[k : k + 2]) for k in range(len(parent) - 1))
    )
    if not same:
        raise InvalidArgumentError(
            f"{operation!r} needs a child that differs from its parent only in the widths of its stages; the child is "
            f"{describe(child)}, the parent {describe(parent)}"
        )


def copy_link(child: Link, parent: Link) -> None:
    """Set layer and batch normalisation of a stage to those of one with the same sizes."""
    child.layer.load_state_dict(parent.layer.state_dict())
    if child.norm is not None and parent.norm is not None:
        child.norm.load_state_dict(parent.norm.state_dict())


def map_units(
    child: Sequence[Link], parent: Sequence[Link], units: Sequence[Tensor], shares: Sequence[Tensor] | None = None
) -> None:
    """Set each unit of `child` to one of `parent`, in all tensors that touch it.

    Args:
        child: What is set.
        parent: A chain like it but for the widths.
        units: For each stage but the head, which unit of the parent each unit of the child is: `child.units` integers.
        shares: For each of these stages what the next layer's weights for each unit are multiplied by, `child.units`.
    """
    every = torch.arange
    incoming = [every(parent[0].inputs), *units]
    outgoing = [*units, every(parent[-1].units)]
    for k, (target, source) in enumerate(zip(child, parent, strict=True)):
        device = source.layer.weight.device
        rows, columns = outgoing[k].to(device), incoming[k].to(device)
        n_read = source.inputs if k == 0 else parent[k - 1].units
        weight = source.layer.weight.reshape(source.units, n_read, -1)[rows][:, columns]  # rows x columns x positions
        if shares is not None and k > 0:
            weight = weight * shares[k - 1].to(weight)[:, None]
        target.layer.weight.copy_(weight.reshape(target.layer.weight.shape))
        if target.layer.bias is not None and source.layer.bias is not None:
            target.layer.bias.copy_(source.layer.bias[rows])
        if target.norm is not None and source.norm is not None:
            _map_norm(target.norm, source.norm, rows)


def _map_norm(target: nn.Module, source: nn.Module, rows: Tensor) -> None:
    own = target.state_dict(keep_vars=True)
    for name, tensor in source.state_dict(keep_vars=True).items():
        own[name].copy_(tensor[rows] if tensor.ndim else tensor)


def check_outside(
    child: nn.Module, child_links: Sequence[Link], parent: nn.Module, parent_links: Sequence[Link]
) -> None:
    """Raise InvalidArgumentError if the modules differ in a parameter that is not part of their chains."""
    shapes = [
        {name: tuple(t.shape) for name, t in _outside(*pair).items() if isinstance(t, nn.Parameter)}
        for pair in ((child, child_links), (parent, parent_links))
    ]
    differing = sorted(name for name, _ in shapes[0].items() ^ shapes[1].items())
    if differing:
        name = differing[0]
        raise InvalidArgumentError(
            f"the parameter {name!r} is in none of {type(parent).__name__}.stages() and must then be the same in "
            f"every configuration, got the shape {shapes[0].get(name, 'missing')} in the child and "
            f"{shapes[1].get(name, 'missing')} in the parent; layers beside the chain, as in residual connections, "
            "are not supported"
        )


def copy_outside(
    child: nn.Module, child_links: Sequence[Link], parent: nn.Module, parent_links: Sequence[Link]
) -> None:
    """Set the tensors of `child` that are not part of its chain to those of `parent` of equal names and shapes."""
    given = _outside(parent, parent_links)
    for name, tensor in _outside(child, child_links).items():
        if name in given and given[name].shape == tensor.shape:
            tensor.copy_(given[name])


def _outside(module: nn.Module, links: Sequence[Link]) -> dict[str, Tensor]:
    parts = [part for link in links for part in (link.layer, link.norm) if part is not None]
    inside = {id(tensor) for part in parts for tensor in part.state_dict(keep_vars=True).values()}
    everything = module.state_dict(keep_vars=True)
    return {name: t for name, t in everything.items() if isinstance(t, Tensor) and id(t) not in inside}


def perturb(weight: Tensor, noise: float, generator: torch.Generator) -> None:
    """Add normal noise to the rows (first dimension) of `weight`, of about `noise` times each row's Euclidean norm."""
    if noise > 0 and weight.numel() > 0:
        rows = weight.flatten(1)
        deviation = noise * rows.norm(dim=1, keepdim=True) / math.sqrt(rows.shape[1])
        rows = rows + deviation * torch.randn(rows.shape, generator=generator).to(rows)
        weight.copy_(rows.reshape(weight.shape))


def check_noise(noise: float) -> None:
    """Raise InvalidArgumentError unless `noise` is a finite number, not negative."""
    if not 0 <= noise < math.inf:
        raise InvalidArgumentError(f"'noise' must be finite and not negative (0 for none), got {noise!r}")
