"""What tells the network of a configuration from others, read off its module without training."""

from __future__ import annotations

import hashlib
import json

import lightning.pytorch as pl
from torch.nn.parameter import is_lazy

from lightning_primo.errors import InvalidArgumentError
from lightning_primo.factory import Factory
from lightning_primo.factory.without_weights import without_weights
from lightning_primo.measure.isolation import rng_kept
from lightning_primo.problem.trial import Config, configuration_key


class NetworkTexts:
    """A text per configuration, equal where the networks are: the same submodules, and weights of the same shapes.

    It is read off the module on the meta device, or on the CPU where that fails. What a module computes otherwise
    with the same submodules, as by an activation that it calls as a function, does not show. A module with
    ``training_hyperparameters`` says itself which hyperparameters are not about its network; then all others are.

    Values are kept, and the global generators are left as they are.

    Args:
        factory: Builds the modules.
    """

    def __init__(self, factory: Factory) -> None:
        self._factory = factory
        self._known: dict[str, str] = {}

    def __call__(self, config: Config) -> str:
        """The text of `config`.

        Raises:
            InvalidArgumentError: If no module can be built for it.
        """
        key = configuration_key(config)
        if key not in self._known:
            with rng_kept():
                self._known[key] = _text(self._module(config), config)
        return self._known[key]

    def _module(self, config: Config) -> pl.LightningModule:
        try:
            with without_weights():
                return self._factory.whole_module(config, with_setup=False)
        except Exception:  # one that looks at its weights; on the CPU it is built as for training
            return self._on_cpu(config)

    def _on_cpu(self, config: Config) -> pl.LightningModule:
        try:
            return self._factory.whole_module(config, with_setup=False)
        except Exception as error:
            raise InvalidArgumentError(
                f"'module': no module could be built for {dict(config)}: {type(error).__name__}: {error}"
            ) from error


def _text(module: pl.LightningModule, config: Config) -> str:
    training = getattr(module, "training_hyperparameters", None)
    if isinstance(training, (tuple, list)):
        return configuration_key({name: value for name, value in config.items() if name not in training})
    modules = [(name, type(child).__qualname__) for name, child in module.named_modules()]
    weights = [
        (name, "lazy" if is_lazy(value) else list(getattr(value, "shape", ())))
        for name, value in module.state_dict().items()
    ]
    return hashlib.sha256(json.dumps([modules, weights]).encode()).hexdigest()
