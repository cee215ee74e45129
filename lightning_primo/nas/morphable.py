"""What a LightningModule offers so that it can grow and shrink with its weights: itself as a chain of layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from torch import nn

from lightning_primo.errors import InvalidArgumentError
from lightning_primo.problem.trial import Config

_EXPECTED = {
    "stages": "def stages(self): the network from its input to its head as a list of objects with the attributes "
    "'layer', 'after' and 'width', such as typing.NamedTuples",
    "deeper": "@staticmethod def deeper(config): the configurations with one identity layer more, a list of dicts, "
    "empty where there are none",
}


class Stage(Protocol):
    """A layer of the chain, and what comes between it and the next one; any object with these attributes will do.

    Attributes:
        layer: An `nn.Conv2d` with ``groups=1`` or an `nn.Linear`.
        after: What follows `layer`, in the order in which `forward` applies it: activation, at most one
            `nn.BatchNorm1d` or `nn.BatchNorm2d`, pooling, dropout, `nn.Flatten` (channel by channel, as it does). All
            but the batch normalisation are without parameters and treat every channel alike and by itself. What
            `forward` calls as a function is given as the module that does the same, ``nn.ReLU()`` for ``relu``.
        width: Name of the hyperparameter that holds the number of the layer's output units; None for the head.
    """

    @property
    def layer(self) -> nn.Conv2d | nn.Linear: ...  # noqa: D102
    @property
    def after(self) -> Sequence[nn.Module]: ...  # noqa: D102
    @property
    def width(self) -> str | None: ...  # noqa: D102


@runtime_checkable
class Morphable(Protocol):
    """A LightningModule whose network is a chain of stages; nothing needs to be inherited from, only written.

    A module may also have ``distillation_step(batch, batch_idx, teacher) -> loss``, see `distil`, and
    ``training_hyperparameters``, the names of those hyperparameters that say nothing about the network, such as the
    learning rate: a child may differ from its parent in these. Without it a child keeps all of them.

    >>> from typing import NamedTuple
    >>> class Part(NamedTuple):
    ...     layer: nn.Linear
    ...     after: tuple[nn.Module, ...] = ()
    ...     width: str | None = None
    >>> class Perceptron(nn.Module):
    ...     def __init__(self, *, n_units: int) -> None:
    ...         super().__init__()
    ...         self.hidden, self.head = nn.Linear(8, n_units), nn.Linear(n_units, 2)
    ...     def forward(self, x):
    ...         return self.head(self.hidden(x).relu())
    ...     def stages(self) -> list[Part]:
    ...         return [Part(self.hidden, (nn.ReLU(),), "n_units"), Part(self.head)]
    ...     @staticmethod
    ...     def deeper(config):
    ...         return []
    >>> isinstance(Perceptron(n_units=3), Morphable)
    True
    """

    def stages(self) -> Sequence[Stage]:
        """The network as a chain, input to head: a stage for every layer whose width may change, and the head.

        The head is the `nn.Linear` to the logits, with `width` None and nothing after it.
        """
        ...

    @staticmethod
    def deeper(config: Config) -> list[Config]:
        """The configurations with one layer more that can be set to the identity, without duplicates.

        There is one per place where a layer fits: a convolution after a convolution's ReLU, or a linear layer after a
        linear layer's, as wide as the layer before. Pooling that followed the old layer must then follow the new one
        instead. Configurations outside the search space are left out by the caller.
        """
        ...


def check_morphable(module: object) -> None:
    """Checks that `module` (or its class) has what `Morphable` asks for.

    Raises:
        InvalidArgumentError: If methods are missing; the message says what to write.
    """
    missing = [name for name in _EXPECTED if not callable(getattr(module, name, None))]
    if missing:
        owner = module if isinstance(module, type) else type(module)
        raise InvalidArgumentError(
            f"'module': {owner.__name__} cannot be deepened, widened or pruned, as it lacks "
            f"{' and '.join(map(repr, missing))}; write {'; '.join(_EXPECTED[name] for name in missing)} "
            "(see lightning_primo.nas.morphable.Morphable)"
        )
