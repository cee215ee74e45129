from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.plugins.precision import MixedPrecision
from torch import Tensor, nn
from torch.optim import SGD, Adam, AdamW, NAdam, RMSprop

from lightning_primo.errors import InvalidArgumentError, NonFiniteLossError
from lightning_primo.hypergradients import Additive, HypergradientDescent, Multiplicative
from tests.hypergradients.modules import DOUBLE, fit
from tests.tiny import Manual

CURVATURE = torch.tensor([1.0, 3.0], dtype=DOUBLE)
START = torch.tensor([1.0, 2.0], dtype=DOUBLE)


class Quadratic(pl.LightningModule):
    """`w . diag(1, 3) w / 2`, whatever the batch."""

    def __init__(self, optimizer: Callable[..., Any]) -> None:
        super().__init__()
        self.weight = nn.Parameter(START.clone())
        self.make_optimizer = optimizer
        self.rates: list[float] = []

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        return (CURVATURE * self.weight.square()).sum() / 2

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        pass

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        self.rates.append(self.trainer.optimizers[0].param_groups[0]["lr"])

    def configure_optimizers(self) -> Any:
        return self.make_optimizer(self.parameters())


def steps(number: int) -> Any:
    return [[0]] * number


def followed(rule: Callable[[float, Tensor, Tensor], float], number: int, lr: float) -> tuple[list[float], Tensor]:
    """The rates and the last weight of gradient descent on the quadratic, where `rule` gives each next rate."""
    weight, before, rates = START, None, []
    for _ in range(number):
        gradient = CURVATURE * weight
        lr = lr if before is None else rule(lr, gradient, before)
        weight, before = weight - lr * gradient, gradient
        rates.append(lr)
    return rates, weight


@pytest.mark.parametrize(
    ("descent", "rule"),
    [
        (HypergradientDescent(2e-3, rule=Additive()), lambda lr, g, d: lr + 2e-3 * float(g @ d)),
        (HypergradientDescent(0.1), lambda lr, g, d: lr * (1 + 0.1 * float(g @ d / (g.norm() * d.norm())))),
    ],
    ids=["additive", "multiplicative"],
)
def test_the_rate_of_a_quadratic_in_closed_form(descent: HypergradientDescent, rule: Any) -> None:
    module = Quadratic(lambda parameters: SGD(parameters, lr=0.01))
    trainer = fit(module, descent, batches=steps(12))
    rates, weight = followed(rule, 12, 0.01)
    assert rates[-1] > 0.02
    torch.testing.assert_close(module.rates, rates, rtol=1e-10, atol=0)
    torch.testing.assert_close(module.weight.detach(), weight, rtol=1e-10, atol=0)
    assert descent.tuned() == {"tuned_lr": module.rates[-1]}
    assert trainer.callback_metrics["tuned_lr"].item() == pytest.approx(rates[-1])


def test_a_rate_that_is_too_high_comes_down() -> None:
    module = Quadratic(lambda parameters: SGD(parameters, lr=0.66))  # 2 / 3 is where it diverges
    fit(module, HypergradientDescent(0.1), batches=steps(30))
    assert module.rates[-1] < 0.5
    assert module.weight.detach().norm() < 1e-3


OPTIMIZERS: dict[str, Callable[..., Any]] = {
    "momentum": lambda parameters, lr: SGD(parameters, lr=lr, momentum=0.9, weight_decay=0.1),
    "nesterov": lambda parameters, lr: SGD(parameters, lr=lr, momentum=0.9, nesterov=True),
    "maximize": lambda parameters, lr: SGD(parameters, lr=lr, maximize=True, weight_decay=0.1),
    "adam": lambda parameters, lr: Adam(parameters, lr=lr, weight_decay=0.1),
    "adamw": lambda parameters, lr: AdamW(parameters, lr=lr, weight_decay=0.1),
    "nadam": lambda parameters, lr: NAdam(parameters, lr=lr),
    "rmsprop": lambda parameters, lr: RMSprop(parameters, lr=lr, momentum=0.5),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_derivative_equals_finite_differences(name: str) -> None:
    """What the third step's rate changes by, against the loss after a second step at a slightly different rate."""
    beta, eps, lr = 1e-3, 1e-5, 0.01

    def loss_after(change: float) -> float:
        weight = nn.Parameter(START.clone())
        optimizer = OPTIMIZERS[name]([weight], lr)
        for step in range(2):
            optimizer.param_groups[0]["lr"] = lr + change * (step == 1)
            optimizer.zero_grad()
            ((CURVATURE * weight.square()).sum() / 2).backward()
            optimizer.step()
        decay = 0.0 if name == "adamw" else optimizer.param_groups[0]["weight_decay"]
        sign = -1.0 if name == "maximize" else 1.0
        return float((sign * CURVATURE + decay) @ weight.detach().square() / 2)

    class OnlyThen(Additive):
        calls = 0

        def __call__(self, lr: float, step: float, *, product: float, norms: float) -> float:
            self.calls += 1
            return lr if self.calls == 1 else super().__call__(lr, step, product=product, norms=norms)

    module = Quadratic(lambda parameters: OPTIMIZERS[name](parameters, lr))
    fit(module, HypergradientDescent(beta, rule=OnlyThen()), batches=steps(3))
    expected = -beta * (loss_after(eps) - loss_after(-eps)) / (2 * eps)
    assert module.rates[1] == lr
    assert module.rates[2] - lr == pytest.approx(expected, rel=1e-6)


class Groups(Quadratic):
    """Two groups, of which the second is never used."""

    def __init__(self) -> None:
        super().__init__(SGD)
        self.unused = nn.Parameter(torch.ones(3, dtype=DOUBLE))

    def configure_optimizers(self) -> Any:
        return SGD([{"params": [self.weight], "lr": 0.02}, {"params": [self.unused], "lr": torch.tensor(0.5)}])


def test_each_group_has_a_rate_of_its_own() -> None:
    descent = HypergradientDescent(0.1)
    fit(Groups(), descent, batches=steps(3))
    first, second = descent.tuned().values()
    assert list(descent.tuned()) == ["tuned_lr_0", "tuned_lr_1"]
    assert first == pytest.approx(0.02 * 1.1**2, rel=1e-2)
    assert second == 0.5


def test_it_stays_within_its_bounds() -> None:
    for bounds, expected in (((1e-3, 0.012), 0.012), ((0.011, 1.0), 0.011)):
        sign = 1.0 if expected == 0.012 else -1.0

        class Signed(Additive):
            def __call__(self, lr: float, step: float, *, product: float, norms: float) -> float:
                return lr + sign * step * product  # noqa: B023

        module = Quadratic(lambda parameters: SGD(parameters, lr=0.01))
        fit(module, HypergradientDescent(1.0, rule=Signed(), bounds=bounds), batches=steps(2))
        assert module.rates == [0.01, expected]


def test_accumulated_gradients_are_what_a_step_is_made_of() -> None:
    rates = []
    for accumulate, number in ((1, 4), (3, 12)):
        module = Quadratic(lambda parameters: SGD(parameters, lr=0.01))
        fit(module, HypergradientDescent(0.1), batches=steps(number), accumulate_grad_batches=accumulate)
        rates.append(module.rates[-1])
    assert rates[1] == pytest.approx(rates[0], rel=1e-12)


@pytest.mark.filterwarnings("ignore:Be aware that when using `ckpt_path`")
def test_resumed_it_is_the_same(tmp_path: Path) -> None:
    def trained(epochs: int) -> Quadratic:
        module = Quadratic(lambda parameters: Adam(parameters, lr=0.01))
        keeps = ModelCheckpoint(tmp_path / str(epochs), filename="last")
        fit(module, HypergradientDescent(0.1), keeps, batches=steps(3), max_epochs=epochs, enable_checkpointing=True)
        return module

    whole = trained(4)
    trained(2)
    module = Quadratic(lambda parameters: Adam(parameters, lr=0.01))
    fit(module, HypergradientDescent(0.1), batches=steps(3), max_epochs=4, ckpt_path=tmp_path / "2" / "last.ckpt")
    assert torch.equal(module.weight, whole.weight)
    assert module.rates == whole.rates[6:]


class Scheduled(Quadratic):
    def configure_optimizers(self) -> Any:
        optimizer = SGD(self.parameters(), lr=0.01)
        return [optimizer], [torch.optim.lr_scheduler.StepLR(optimizer, 1)]


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (Manual(), "needs automatic optimisation, and Manual optimises manually"),
        (Scheduled(SGD), "scheduler StepLR"),
        (Quadratic(lambda parameters: torch.optim.Adagrad(parameters, lr=0.01)), "of Adagrad: .* SGD, Adam, AdamW"),
        (Quadratic(SGD).half(), "torch.float16, too coarse"),
    ],
    ids=["manual", "scheduler", "optimizer", "half"],
)
def test_what_it_cannot_go_with_is_refused(module: Any, message: str) -> None:
    with pytest.raises(InvalidArgumentError, match=f"HypergradientDescent .*{message}"):
        fit(module, HypergradientDescent(), precision="32-true")


def test_a_gradient_scaler_is_refused() -> None:
    scaled = MixedPrecision("16-mixed", device="cpu", scaler=torch.amp.GradScaler("cpu"))
    with pytest.raises(InvalidArgumentError, match=r"16-mixed.*GradScaler.*'bf16-mixed'"):
        fit(Quadratic(SGD), HypergradientDescent(), precision=None, plugins=[scaled])


def test_several_processes_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pl.Trainer, "world_size", 2)
    with pytest.raises(InvalidArgumentError, match=r"one process, and this training has 2: .*devices=1"):
        fit(Quadratic(lambda parameters: SGD(parameters, lr=0.01)), HypergradientDescent())


def test_a_gradient_that_is_no_number_is_told() -> None:
    class Bad(Quadratic):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            return super().training_step(batch, batch_idx) * (math.inf if batch_idx == 1 else 1.0)

    with pytest.raises(NonFiniteLossError, match="learning rate"):
        fit(Bad(lambda parameters: SGD(parameters, lr=0.01)), HypergradientDescent(), batches=steps(3))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"lr": 1.0}, "'lr' must be a positive number below 1"),
        ({"lr": 0.0, "rule": Additive()}, "'lr' must be positive"),
        ({"rule": Multiplicative}, "'rule' is the class Multiplicative"),
        ({"bounds": (0.0, 1.0)}, "'bounds'.*positive least"),
        ({"bounds": (0.5, 0.1)}, "'bounds'.*least <= greatest"),
        ({"bounds": 0.5}, "'bounds' must be"),
    ],
)
def test_bad_arguments(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidArgumentError, match=message):
        HypergradientDescent(**arguments)
