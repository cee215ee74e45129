"""A module's stages, read and checked: links whose shapes fit, and which are indeed what the module computes."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from lightning_primo.errors import InvalidArgumentError
from lightning_primo.measure.inputs import call, map_tensors, to_device
from lightning_primo.nas.morphable import Stage, check_morphable

Norm = nn.BatchNorm1d | nn.BatchNorm2d

_IDENTITIES_IN_EVAL = (nn.Identity, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.AlphaDropout)
_RELATIVE_TOLERANCE = 1e-3


@dataclass(frozen=True, eq=False)
class Link:
    """One checked stage.

    Args:
        layer: The layer.
        after: What follows, one by one; nested `nn.Sequential`s are unpacked and identities and dropout left out.
        width: The hyperparameter that holds `units`; None for the head.
    """

    layer: nn.Conv2d | nn.Linear
    after: tuple[nn.Module, ...]
    width: str | None

    @property
    def units(self) -> int:
        """Output channels or features."""
        return self.layer.out_channels if isinstance(self.layer, nn.Conv2d) else self.layer.out_features

    @property
    def inputs(self) -> int:
        """Input channels or features."""
        return self.layer.in_channels if isinstance(self.layer, nn.Conv2d) else self.layer.in_features

    @property
    def norm(self) -> Norm | None:
        """The batch normalisation in `after`, if there is one."""
        return next((module for module in self.after if isinstance(module, Norm)), None)

    @property
    def kind(self) -> tuple[Any, ...]:
        """All of the layer but its sizes and values."""
        layer = self.layer
        if isinstance(layer, nn.Linear):
            return (nn.Linear, layer.bias is not None)
        geometry = (layer.kernel_size, layer.stride, layer.padding, layer.dilation, layer.padding_mode)
        return (nn.Conv2d, layer.bias is not None, *geometry)

    @property
    def tokens(self) -> tuple[str, ...]:
        """`after` in words that are equal for equal functions, whatever the number of channels."""
        return tuple(_token(module) for module in self.after)

    def __str__(self) -> str:
        what = [f"{type(self.layer).__name__}({self.inputs}, {self.units})", *self.tokens]
        return " + ".join(what)


def chain(module: nn.Module) -> tuple[Link, ...]:
    """The checked stages of `module`, input to head.

    If `module` has an `example_input_array`, the stages are also run one after the other on random numbers of that
    shape and compared with the module's own forward (in eval mode; nothing of the module changes), unless `module` is
    on the meta device.

    Raises:
        InvalidArgumentError: If `module` is not `Morphable`, or its stages are not a chain; the message says which.
    """
    check_morphable(module)
    name = type(module).__name__
    links = tuple(_link(stage, f"stage {i} of {name}.stages()") for i, stage in enumerate(module.stages()))  # type: ignore[operator]
    if not links or links[-1].width is not None or not isinstance(links[-1].layer, nn.Linear) or links[-1].after:
        raise InvalidArgumentError(
            f"'{name}.stages()' must end with the head, an nn.Linear with nothing after it and width=None, got "
            f"{describe(links)}"
        )
    for before, link in itertools.pairwise(links):
        _check_joint(before, link, name)
    widths = [link.width for link in links[:-1]]
    if None in widths or len({*widths}) < len(widths):
        raise InvalidArgumentError(
            f"'{name}.stages()' must name another hyperparameter as 'width' for every stage but the head, got {widths}"
        )
    if len({id(link.layer) for link in links}) < len(links):
        raise InvalidArgumentError(f"'{name}.stages()' has the same layer twice; shared weights cannot be changed")
    _check_forward(module, links)
    return links


def describe(links: Iterable[Link]) -> str:
    """The links in words, in order."""
    return " -> ".join(map(str, links)) or "nothing"


def positions(before: Link, link: Link) -> int:
    """Inputs of `link` per unit of `before`: 1, or the pixels of a map that is flattened in between."""
    return link.inputs // before.units


def _link(stage: Stage, label: str) -> Link:
    missing = [name for name in ("layer", "after", "width") if not hasattr(stage, name)]
    if missing:
        raise InvalidArgumentError(
            f"{label} must have the attributes 'layer', 'after' and 'width', but {stage!r} has no "
            f"{' and no '.join(map(repr, missing))}"
        )
    layer = stage.layer
    # A subclass, a parametrization or a weight norm may compute its weights from others, which would be left behind.
    names = [name for name, _ in layer.named_parameters()]
    if type(layer) not in (nn.Conv2d, nn.Linear) or not {"weight", "bias"}.issuperset(names):
        raise InvalidArgumentError(
            f"'layer' of {label} must be an nn.Conv2d or nn.Linear with no parameters but weight and bias, got "
            f"{type(layer).__name__} with {', '.join(names) or 'none'}; subclasses, weight norms and other "
            "parametrizations cannot be part of a chain"
        )
    if isinstance(layer, nn.Conv2d) and layer.groups != 1:
        raise InvalidArgumentError(
            f"'layer' of {label} is a convolution with groups={layer.groups}, whose units cannot be changed one by "
            "one; only groups=1 is supported"
        )
    link = Link(layer, tuple(_unpacked(stage.after)), stage.width)
    norms = 0
    for module in link.after:
        if isinstance(module, Norm):
            norms += 1
            _check_norm(module, link.units, label)
        elif any(True for _ in module.parameters()) or any(True for _ in module.buffers()):
            raise InvalidArgumentError(
                f"'after' of {label} has {module}, but only nn.BatchNorm1d and nn.BatchNorm2d may have parameters or "
                "buffers there (other normalisations depend on the number of units)"
            )
    if norms > 1:
        raise InvalidArgumentError(f"'after' of {label} must have at most one batch normalisation, got {norms}")
    return link


def _unpacked(modules: Iterable[nn.Module]) -> Iterator[nn.Module]:
    for module in modules:
        if isinstance(module, nn.Sequential):
            yield from _unpacked(module)
        elif not isinstance(module, _IDENTITIES_IN_EVAL):
            yield module


def _check_norm(norm: Norm, units: int, label: str) -> None:
    if norm.num_features != units:
        raise InvalidArgumentError(
            f"'after' of {label} has a batch normalisation of {norm.num_features} features after a layer of {units} "
            "units; it must come before any flattening"
        )
    if not norm.affine or norm.running_mean is None:
        raise InvalidArgumentError(
            f"'after' of {label} has {norm}, but a batch normalisation with affine=True and track_running_stats=True "
            "is needed"
        )


def _check_joint(before: Link, link: Link, name: str) -> None:
    flattened = isinstance(before.layer, nn.Conv2d) and isinstance(link.layer, nn.Linear)
    kinds_fit = flattened or type(before.layer) is type(link.layer)
    if not kinds_fit or (link.inputs % before.units if flattened else link.inputs != before.units):
        raise InvalidArgumentError(
            f"'{name}.stages()' is not a chain: {link} cannot come after {before}; every layer must read exactly the "
            "units of the one before"
        )


def _token(module: nn.Module) -> str:
    if isinstance(module, Norm):
        return f"BatchNorm(eps={module.eps:g})"
    return "ReLU" if isinstance(module, nn.ReLU) else repr(module)


def _check_forward(module: nn.Module, links: Sequence[Link]) -> None:
    """Compares the chain with what happens in `module` between its first layer's input and its head's output."""
    example = getattr(module, "example_input_array", None)
    if example is None or links[0].layer.weight.is_meta:
        return
    generator = torch.Generator().manual_seed(0)
    inputs = map_tensors(lambda x: torch.randn(x.shape, generator=generator) if x.is_floating_point() else x, example)
    inputs = to_device(inputs, links[0].layer.weight.device, links[0].layer.weight.dtype)
    entered: list[Tensor] = []
    left: list[Tensor] = []
    hooks = [
        links[0].layer.register_forward_pre_hook(lambda _, given: entered.append(given[0].clone())),
        links[-1].layer.register_forward_hook(lambda _, given, output: left.append(output)),
    ]
    parts = [part for link in links for part in (link.layer, *link.after)]
    with evaluating(module, *parts), torch.no_grad():
        try:
            call(module, inputs)
        finally:
            for hook in hooks:
                hook.remove()
        same = len(entered) == len(left) == 1
        if same:
            output = entered[0]
            for part in parts:
                output = part(output)
            scale = left[0].abs().max()
            difference = (output - left[0]).abs().max() if output.shape == left[0].shape else torch.inf
            same = not difference > _RELATIVE_TOLERANCE * scale  # also where a diverged training left NaN
    if not same:
        name = type(module).__name__
        raise InvalidArgumentError(
            f"'{name}.stages()' is not what {name}.forward computes: {describe(links)}, one after the other, gives "
            "other outputs. Residual connections, branches and layers that are used twice are not chains; else "
            "compare the order of 'after' with forward"
        )


@contextmanager
def evaluating(*modules: nn.Module) -> Iterator[None]:
    """Puts modules into eval mode, and every part back into the mode that it was in."""
    modes = [(part, part.training) for module in modules for part in module.modules()]
    try:
        for part, _ in modes:
            part.training = False
        yield
    finally:
        for part, training in reversed(modes):
            part.training = training
