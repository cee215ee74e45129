"""The networks of configurations as algorithms that grow and prune them see them, read off modules without training."""

from __future__ import annotations

import lightning.pytorch as pl
from torch import nn

from lightning_primo.errors import InvalidArgumentError
from lightning_primo.factory import Factory
from lightning_primo.factory.without_weights import without_weights
from lightning_primo.measure import parameter_count
from lightning_primo.measure.isolation import rng_kept
from lightning_primo.nas.chain import Link, chain
from lightning_primo.problem.architecture import Architecture, Layer, LayerKind
from lightning_primo.problem.trial import Config, configuration_key


class Architectures:
    """The architecture of a configuration, from its module on the meta device, or on the CPU where that fails.

    The first one is always built on the CPU, where it is also run, to see that its stages are what it computes. Values
    are kept, and the global generators are left as they are.

    Args:
        factory: Builds the modules, which implement `Morphable`.
    """

    def __init__(self, factory: Factory) -> None:
        self._factory = factory
        self._known: dict[str, Architecture] = {}

    def __call__(self, config: Config) -> Architecture:
        """The architecture of `config`.

        Raises:
            InvalidArgumentError: If the module cannot be built, does not implement `Morphable`, or not as its
                configuration says.
        """
        key = configuration_key(config)
        if key not in self._known:
            with rng_kept():
                self._known[key] = self._read(config)
        return self._known[key]

    def _read(self, config: Config) -> Architecture:
        module = self._module(config)
        try:
            return _architecture(module, config)
        except InvalidArgumentError:
            raise
        except Exception as error:  # of the user's methods
            raise InvalidArgumentError(
                f"'module': {type(module).__name__} cannot be read as a chain of layers for {dict(config)}: "
                f"{type(error).__name__}: {error}; see 'stages', 'deeper' and 'example_input_array'; layers "
                "are made in __init__ or configure_model(), not in setup()"
            ) from error

    def _module(self, config: Config) -> pl.LightningModule:
        if self._known:
            try:
                with without_weights():
                    return self._factory.whole_module(config, with_setup=False)
            except Exception:  # one that looks at its weights; on the CPU it is built as for training
                return self._on_cpu(config)
        return self._on_cpu(config)

    def _on_cpu(self, config: Config) -> pl.LightningModule:
        try:
            return self._factory.whole_module(config, with_setup=False)
        except InvalidArgumentError:
            raise
        except Exception as error:
            raise InvalidArgumentError(
                f"'module': no module could be built for {dict(config)}: {type(error).__name__}: {error}"
            ) from error


def _architecture(module: pl.LightningModule, config: Config) -> Architecture:
    links = chain(module)
    training = getattr(module, "training_hyperparameters", ())
    if isinstance(training, str):
        raise InvalidArgumentError(
            f"'training_hyperparameters' of {type(module).__name__} must be names in a tuple, got {training!r}; write "
            f"({training!r},)"
        )
    if not module.automatic_optimization:
        raise InvalidArgumentError(
            f"'module': {type(module).__name__} optimises manually, so its pruned children could not be distilled; use "
            "automatic optimisation, or another algorithm"
        )
    return Architecture(
        layers=tuple(_layer(module, link, config) for link in links[:-1]),
        n_parameters=parameter_count(module),
        deeper=tuple(dict(deeper) for deeper in module.deeper(dict(config))),  # type: ignore[operator]
        training=tuple(training),
    )


def _layer(module: pl.LightningModule, link: Link, config: Config) -> Layer:
    if link.width is None or config.get(link.width) != link.units:
        raise InvalidArgumentError(
            f"{type(module).__name__}.stages() has a layer of {link.units} units with 'width' {link.width!r}, which is "
            f"{config.get(link.width or '')!r} in the configuration; it must name the hyperparameter that holds them"
        )
    kind = LayerKind.CONVOLUTION if isinstance(link.layer, nn.Conv2d) else LayerKind.LINEAR
    return Layer(width=link.width, units=link.units, kind=kind)
