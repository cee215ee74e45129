"""What callbacks share that tune a module's hyperparameters by the gradient of its held-out loss.

They differentiate with `torch.autograd` and `torch.func.functional_call`, as none of the libraries for this serves:
they want the loss as a function of their own or take over the training loop (Betty), and none was released after 2023
(TorchOpt 0.7.3, Betty 0.2.1; higher 0.2.1 is of 2020).
"""

from __future__ import annotations

from abc import ABC
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor
from typing_extensions import override

from lightning_primo.callbacks.tuning import TuningCallback
from lightning_primo.checks import check_function, check_instance, check_mapping, check_text
from lightning_primo.errors import InvalidArgumentError
from lightning_primo.hypergradients.domains import Domain
from lightning_primo.hypergradients.functional_steps import FunctionalSteps
from lightning_primo.hypergradients.held_out import HeldOutBatches, held_out_loader
from lightning_primo.hypergradients.requirements import (
    require_automatic,
    require_full_precision,
    require_not_compiled,
    require_one_process,
)
from lightning_primo.hypergradients.tuned_tensors import OptimizerFactory, TunedTensors, adam


@dataclass(frozen=True)
class Run:
    """What a callback has for the time of one fit.

    Args:
        tensors: The hyperparameters.
        steps: The module's steps.
        batches: The held-out ones.
    """

    tensors: TunedTensors
    steps: FunctionalSteps
    batches: HeldOutBatches


class HyperparameterDescent(TuningCallback, ABC):
    """Tunes hyperparameters that a module declares; a subclass says when and by which gradient.

    A hyperparameter is a floating-point buffer of the module that its `training_step` computes the loss with. As a
    buffer it follows the module to its device and into its checkpoints, and is none of its `parameters()`: those that
    are trained, counted and optimised.

    Args:
        hyperparameters: The domain of each by the name of its buffer (with dots for those of submodules):
            `Unbounded()`, `Positive()`, `Interval(low, high)`.
        optimizer: Makes the optimizer of the hyperparameters from a list of parameters.
        held_out: Name of the method of the data module, or the module, that returns the DataLoader of the held-out
            batches; None for the one that the Trainer validates with.
    """

    def __init__(
        self, hyperparameters: Mapping[str, Domain], *, optimizer: OptimizerFactory = adam, held_out: str | None = None
    ) -> None:
        self.hyperparameters = check_mapping("hyperparameters", hyperparameters, "names of buffers to domains")
        if not self.hyperparameters:
            raise InvalidArgumentError("'hyperparameters' must name at least one buffer of the module, got none")
        for name, domain in self.hyperparameters.items():
            check_instance(f"hyperparameters[{name!r}]", domain, Domain, example="Positive()")
        self.optimizer = (
            optimizer
            if isinstance(optimizer, type)
            else check_function("optimizer", optimizer, example="functools.partial(torch.optim.Adam, lr=0.05)")
        )
        self.held_out = None if held_out is None else check_text("held_out", held_out)
        self._start()

    def _start(self) -> None:
        self._run: Run | None = None
        self._n_drawn = 0
        self._loaded: dict[str, Any] | None = None
        self._seen_to_matter = False
        self._values: dict[str, float] = {}

    @property
    def run(self) -> Run:
        """What the present fit has.

        Raises:
            RuntimeError: If there is none.
        """
        if self._run is None:
            raise RuntimeError(f"{type(self).__name__} works inside of a Trainer's fit")
        return self._run

    @property
    @override
    def state_key(self) -> str:
        return self._generate_state_key(hyperparameters=sorted(self.hyperparameters))

    @override
    def tuned(self) -> dict[str, float]:
        return {f"tuned_{name}": value for name, value in self._values.items()}

    @override
    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        if stage == "fit":
            self._start()

    @override
    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        who = type(self).__name__
        require_automatic(who, pl_module)
        require_one_process(who, trainer)
        require_full_precision(who, trainer)
        require_not_compiled(who, pl_module)
        tensors = TunedTensors(pl_module, self.hyperparameters, self.optimizer, state=self._loaded)
        self._loaded = None
        loader = held_out_loader(trainer, pl_module, self.held_out)
        batches = HeldOutBatches(loader, device=pl_module.device)
        self._run = Run(tensors, FunctionalSteps(trainer, pl_module), batches)
        self._values = tensors.numbers

    @override
    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        self._run = None  # which holds the module and the data

    @override
    def state_dict(self) -> dict[str, Any]:
        tensors = {} if self._run is None else self._run.tensors.state_dict()
        return {**tensors, "n_drawn": self._n_drawn}

    @override
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._n_drawn = state_dict["n_drawn"]
        self._loaded = state_dict if "free" in state_dict else None

    def held_out_batch(self) -> Any:
        """The next held-out batch, on the module's device."""
        run = self.run
        batch = run.steps.to_device(run.batches[self._n_drawn])
        self._n_drawn += 1
        return batch

    def require_to_matter(self, training_loss: Tensor, leaves: Mapping[str, Tensor]) -> None:
        """Raise InvalidArgumentError if the training loss does not depend on a hyperparameter; once per fit."""
        if self._seen_to_matter:
            return
        slopes = torch.autograd.grad(training_loss, list(leaves.values()), retain_graph=True, allow_unused=True)
        unused = [name for name, slope in zip(leaves, slopes, strict=True) if slope is None]
        if unused:
            raise InvalidArgumentError(
                f"the loss of training_step does not depend on the hyperparameter {unused[0]!r}: compute it with "
                f"self.{unused[0]} as a tensor, without item() or float()"
            )
        self._seen_to_matter = True

    def descend(self, gradients: Sequence[Tensor]) -> None:
        """One step of the hyperparameters against their gradients."""
        tensors = self.run.tensors
        tensors.step(gradients)
        self._values = tensors.numbers
