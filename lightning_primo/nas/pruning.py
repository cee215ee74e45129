"""Structured pruning (Anwar et al. 2017): a narrower network with the weights of a wider one.

The rule which units go is that of BULK & CUT (Guerrero-Viu et al. 2021, section 3.5 and algorithm 7).
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from lightning_primo.errors import InvalidArgumentError
from lightning_primo.nas.chain import Link, chain
from lightning_primo.nas.weight_transfer import check_only_widths_differ, check_outside, copy_outside, map_units


def prune(child: nn.Module, parent: nn.Module, *, generator: torch.Generator) -> None:
    """Set the weights of `child` to those of the units of `parent` that `kept_units` keeps.

    All tensors that touch a removed unit shrink together: its row and bias, the four of its batch normalisation, and
    the weights of the next layer that read it (one per pixel where maps are flattened). In eval mode `child` then
    computes what `parent` does with the outputs of the removed units, after normalisation and activation, set to zero.
    Tensors that are not part of the chain are copied where name and shape are equal.

    Args:
        child: Freshly built from its own configuration; the only one that changes.
        parent: A chain of as many stages, none narrower.
        generator: Draws the units, see `kept_units`.

    Raises:
        InvalidArgumentError: If `child` is no narrower version of `parent`, or one of them is not a chain.
    """
    narrow, links = chain(child), chain(parent)
    check_outside(child, narrow, parent, links)
    kept = _kept(narrow, links, generator)
    with torch.no_grad():
        map_units(narrow, links, kept)
        copy_outside(child, narrow, parent, links)


def kept_units(child: nn.Module, parent: nn.Module, *, generator: torch.Generator) -> tuple[Tensor, ...]:
    """The units of `parent` that `prune`, given a generator in the same state, keeps for `child`.

    A stage that is to lose `k` units loses a random `k` of the `2 k` (or all, if there are fewer) with the lowest L1
    norm: the sum of the absolute weights with which the next layer reads the unit.

    Args:
        child: A chain like `parent`, none of its stages wider.
        parent: The chain that is pruned.
        generator: Draws among the `2 k` units.

    Returns:
        For every stage but the head the indices of the kept units, ascending, as many as the stage has in `child`.

    Raises:
        InvalidArgumentError: As for `prune`.
    """
    return _kept(chain(child), chain(parent), generator)


def _kept(child: Sequence[Link], parent: Sequence[Link], generator: torch.Generator) -> tuple[Tensor, ...]:
    check_only_widths_differ(child, parent, "prune")
    wider = [f"{a.width!r} ({b.units} -> {a.units})" for a, b in zip(child, parent, strict=True) if a.units > b.units]
    if wider:
        raise InvalidArgumentError(f"'prune' needs a child with no stage wider than its parent's, got {wider[0]}")
    kept = []
    for k, (link, following) in enumerate(itertools.pairwise(parent)):
        n_removed = link.units - child[k].units
        weight = following.layer.weight.detach().cpu()
        norms = weight.abs().reshape(following.units, link.units, -1).sum((0, 2))  # units
        lowest = norms.argsort(stable=True)[: 2 * n_removed]
        removed = lowest[torch.randperm(len(lowest), generator=generator)[:n_removed]]
        stays = torch.ones(link.units, dtype=torch.bool)
        stays[removed] = False
        kept.append(stays.nonzero()[:, 0])
    return tuple(kept)
