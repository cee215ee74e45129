"""Numbers in attributes as objects: which are one tensor, on which device, of which type, and which are gone."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from lightning_primo.objectives import Metric
from lightning_primo.problem.trial import Status
from lightning_primo.training import run_job
from lightning_primo.training.carried_state.carried_numbers import CarriedNumbers
from lightning_primo.training.carried_state.late_state import LateState
from lightning_primo.training.carried_state.unsaved_buffers import UnsavedBuffers
from lightning_primo.training.carried_state.values.shared_tensors import Copies, Restored
from tests.tiny import Net
from tests.training.jobs import curve, make_job

TRAINER: Any = SimpleNamespace(world_size=1)


def promoted(
    old: Any,
    new: Any,
    train: Callable[[Any], None],
    kind: type[LateState] = CarriedNumbers,
    *,
    trainer: Any = TRAINER,
    epochs: int = 1,
) -> None:
    """Give `new` what `old` keeps when it is trained in the first of so many epochs, by way of a file."""
    callbacks = kind(), kind()
    for callback, module in zip(callbacks, (old, new), strict=True):
        callback.on_fit_start(trainer, module)
        if module is new:
            checkpoint: dict[str, Any] = {}
            callbacks[0].on_save_checkpoint(trainer, old, checkpoint)
            file = io.BytesIO()
            torch.save(checkpoint, file)
            read = torch.load(io.BytesIO(file.getvalue()), weights_only=True)
            callback.load_state_dict(read.get("callbacks", {}).get(callback.state_key, {}))
        callback.on_train_epoch_start(trainer, module)
        if module is old:
            train(old)
            for _ in range(epochs - 1):
                callback.on_train_epoch_start(trainer, old)


class Tensors(Net):
    """Tensors of one element that attributes, a list and a layer share."""

    def __init__(self) -> None:
        super().__init__()
        self.tau = torch.tensor(1.0)
        self.cell = nn.Identity()
        self.cell.tau = self.tau
        self.all = [self.tau]
        self.zero = self.also_zero = torch.tensor(0.0)
        self.one = torch.tensor(5.0)
        self.weight = torch.tensor(1.0, requires_grad=True)


def test_what_was_changed_in_place_is_for_all_who_hold_it() -> None:
    def fall(module: Any) -> None:
        module.tau.mul_(0.5)
        with torch.no_grad():
            module.weight.mul_(3)

    old, new = Tensors(), Tensors()
    weight = new.weight
    promoted(old, new, fall)
    assert new.cell.tau is new.tau is new.all[0]
    assert new.weight is weight  # which an optimizer may have
    assert weight.requires_grad
    new.tau.mul_(0.5)
    assert [float(value) for value in (new.cell.tau, new.all[0], weight.detach())] == [0.25, 0.25, 3.0]


def test_an_attribute_that_has_come_to_hold_another_tensor_leaves_the_first_one_alone() -> None:
    def part(module: Any) -> None:
        module.zero = module.zero + 2

    old, new = Tensors(), Tensors()
    promoted(old, new, part)
    assert (float(new.zero), float(new.also_zero)) == (2.0, 0.0)


@pytest.mark.parametrize("one", [5.0, 0.0])
def test_attributes_that_have_come_to_hold_one_tensor_hold_one(one: float) -> None:
    def join(module: Any) -> None:
        module.one = module.zero
        module.tau = module.cell.tau = torch.tensor(4.0)

    old, new = Tensors(), Tensors()
    for module in (old, new):
        module.one = torch.tensor(one)
    promoted(old, new, join)
    assert new.one is new.zero is new.also_zero
    assert new.tau is new.cell.tau
    assert float(new.tau) == 4.0
    assert float(new.all[0]) == 1.0


def test_what_cannot_be_written_into_is_another_tensor() -> None:
    old, new = Tensors(), Tensors()
    with torch.inference_mode():
        old.one, new.one = torch.tensor(5.0), torch.tensor(5.0)

        def change(module: Any) -> None:
            module.one.add_(1)

        promoted(old, new, change)
        assert float(new.one) == 6.0
    first = new.tau
    promoted(Tensors(), new, lambda module: module.tau.data.mul_(0.5))
    assert new.tau is first


class SharedBuffers(Net):
    def __init__(self) -> None:
        super().__init__()
        self.parts = nn.ModuleList([nn.Identity(), nn.Identity(), nn.Identity()])
        bank = torch.zeros(3)
        for part in self.parts:
            part.register_buffer("bank", bank, persistent=False)


def test_buffers_that_are_one_stay_one() -> None:
    def grow(module: Any) -> None:
        module.parts[0].bank = module.parts[1].bank = torch.ones(4)

    def write(module: Any) -> None:
        module.parts[0].bank.add_(1)

    def separate(module: Any) -> None:
        module.parts[0].bank = module.parts[0].bank + 1

    new = SharedBuffers()
    promoted(SharedBuffers(), new, grow, UnsavedBuffers)
    assert new.parts[0].bank is new.parts[1].bank
    assert [len(part.bank) for part in new.parts] == [4, 4, 3]
    new = SharedBuffers()
    promoted(SharedBuffers(), new, write, UnsavedBuffers)
    assert new.parts[0].bank is new.parts[1].bank is new.parts[2].bank
    assert new.parts[2].bank.tolist() == [1.0] * 3
    new = SharedBuffers()
    promoted(SharedBuffers(), new, separate, UnsavedBuffers)
    assert [part.bank.tolist() for part in new.parts] == [[1.0] * 3, [0.0] * 3, [0.0] * 3]


class OnDevice(Net):
    """As if its weights were on an accelerator, which stands for one here."""

    def __init__(self) -> None:
        super().__init__()
        self.count = torch.zeros((), dtype=torch.long)
        self.sum = torch.zeros(())
        self.mean: torch.Tensor | None = None
        self.register_buffer("bank", torch.zeros(2), persistent=False)

    @property
    def device(self) -> torch.device:
        return torch.device("meta")


@pytest.mark.parametrize("kind", [CarriedNumbers, UnsavedBuffers])
def test_what_was_on_the_cpu_is_there_again(kind: type[LateState]) -> None:
    def go_on(module: Any) -> None:
        module.count += 3
        module.sum = module.sum + 2
        module.mean = torch.tensor(7.0)
        module.bank = torch.ones(3)

    new = OnDevice()
    promoted(OnDevice(), new, go_on, kind)
    if kind is CarriedNumbers:
        assert [float(value) for value in (new.count, new.sum, new.mean)] == [3.0, 2.0, 7.0]  # type: ignore[arg-type]
        assert new.count.dtype == torch.long
    else:
        assert new.bank.tolist() == [1.0] * 3


def test_what_was_on_the_modules_device_goes_to_the_new_modules() -> None:
    copies, restored = Copies(), Restored(torch.device("meta"))
    first, second = (copies.of(torch.tensor(value)) for value in (1.0, 2.0))
    assert restored.of(first, into=None, apart=False).device.type == "meta"
    assert restored.of(second, into=None, apart=True).device.type == "cpu"


class Varied(Net):
    """Scalars of NumPy's, and numbers that become none."""

    def __init__(self, lr: float = 0.02) -> None:
        super().__init__(lr)
        self.best: Any = np.float32(0)
        self.double: Any = np.float64(0)
        self.n: Any = np.int64(0)
        self.warmup: Any = 2.0
        self.early: Any = torch.tensor(2.0)
        self.flag: Any = np.bool_(False)

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        return super().training_step(batch, batch_idx) * (1.0 if self.warmup is None else 0.1)

    def on_train_epoch_end(self) -> None:
        self.best = np.maximum(self.best, np.float32(0.1) + np.float32(self.current_epoch))
        self.double = self.double + np.float64(0.1)
        self.n += np.int64(2**53 + 1)
        self.warmup = self.early = None

    def on_validation_epoch_end(self) -> None:
        of_types = float(type(self.best) is np.float32 and type(self.n) is np.int64 and type(self.double) is np.float64)
        self.log_dict({"best": float(self.best) + float(self.double), "odd": float(self.n % 2), "types": of_types})
        self.log("gone", float(self.warmup is None and self.early is None))


def test_scalars_of_numpy_keep_their_type_and_what_becomes_none_is_none(tmp_path: Path) -> None:
    names = ("best", "odd", "types", "gone", "val_loss")
    job = {"module": Varied, "objectives": tuple(Metric(name) for name in names)}
    whole = run_job(make_job(tmp_path / "whole", 4, **job))
    parts = [
        run_job(make_job(tmp_path / "parts", epoch, start_epoch=start, **job)) for start, epoch in ((0, 2), (2, 4))
    ]
    assert [evaluation.status for evaluation in (whole, *parts)] == [Status.OK] * 3, [whole.reason, parts[1].reason]
    assert curve(*parts) == dict(whole.curve)
    assert [values[1] for values in whole.curve.values()] == [0.0, 1.0, 0.0, 1.0]
    assert [values[2] for values in whole.curve.values()] == [1.0] * 4
    assert [values[3] for values in whole.curve.values()] == [0.0, 1.0, 1.0, 1.0]


def test_what_has_become_something_else_than_a_number_is_the_constructors() -> None:
    def become(module: Any) -> None:
        module.one = [3]
        module.zero = None
        del module.tau

    new = Tensors()
    promoted(Tensors(), new, become)
    assert (float(new.one), new.zero, float(new.tau)) == (5.0, None, 1.0)


def test_a_number_that_a_sanity_check_makes_none_is_none() -> None:
    module, callback = Varied(), CarriedNumbers()
    callback.on_fit_start(TRAINER, module)
    callback.on_sanity_check_start(TRAINER, module)
    module.warmup = None
    callback.on_sanity_check_end(TRAINER, module)
    callback.on_train_epoch_start(TRAINER, module)
    assert callback.state(TRAINER, module) == {"": {"warmup": {"start": 2.0, "now": None}}}
