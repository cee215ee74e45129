"""Containers, arrays, flags and generators that training changes in attributes, in trainings that stop and go on."""

from __future__ import annotations

import collections
import random
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import pytest
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor

from lightning_primo.errors import CheckpointWarning
from lightning_primo.layout import CHECKPOINT
from lightning_primo.problem.trial import Status
from lightning_primo.training import run_job
from lightning_primo.training.carried_state.carried_values import CarriedValues
from lightning_primo.training.carried_state.values.holders import holders_of
from lightning_primo.training.carried_state.values.plain_values import Encoder, NotPlainError, decoded, fingerprint
from lightning_primo.training.carried_state.values.shared_tensors import Restored
from lightning_primo.training.carried_state.values.values_by_place import ValuesByPlace
from tests.tiny import Net, same_state
from tests.training.jobs import curve, make_job, state
from tests.training.test_steps import promoted_equals_uninterrupted

CPU = torch.device("cpu")


class Meter:
    """An object that is no module."""

    def __init__(self) -> None:
        self.total, self.n = 0.0, 0

    def add(self, value: float) -> float:
        self.total += value
        self.n += 1
        return self.total / self.n


class Keeps(Net):
    """Its loss depends on all that it keeps."""

    def __init__(self, lr: float = 0.02) -> None:
        super().__init__(lr)
        self.latest: collections.deque[float] = collections.deque(maxlen=4)
        self.by_name: dict[str, Any] = {"n": 0, "center": torch.zeros(2), "all": []}
        self.same = self.by_name
        self.phase, self.is_late = "early", False
        self.array = np.zeros(2)
        self.meter = Meter()
        self.generators = torch.Generator().manual_seed(3), np.random.default_rng(3)
        self.generator = torch.Generator().manual_seed(4)
        self.numpys, self.legacy, self.pythons = (
            np.random.default_rng(5),
            np.random.RandomState(6),
            random.Random(7),
        )

    def on_fit_start(self) -> None:
        self.shadow = {name: weights.detach().clone() for name, weights in self.net.state_dict().items()}

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        loss = super().training_step(batch, batch_idx)
        self.latest.append(float(loss.detach()))
        self.same["n"] += 1
        self.same["all"].append(batch[0].mean())
        self.by_name["center"] = 0.9 * self.by_name["center"] + 0.1 * batch[0].mean(0)
        self.array += 0.01
        if self.by_name["n"] == 2:
            self.phase, self.is_late = "late", True
        for name, weights in self.net.state_dict().items():
            self.shadow[name] = (0.9 * self.shadow[name] + 0.1 * weights).to(weights.dtype)
        drawn = torch.rand((), generator=self.generator) + torch.rand((), generator=self.generators[0])
        drawn = drawn + float(self.numpys.random() + self.legacy.rand() + self.pythons.random())
        kept = sum(self.latest) + self.by_name["n"] + float(self.array.sum()) + self.meter.add(1.0 + len(self.latest))
        kept += (self.phase == "late") + 2 * self.is_late + float(sum(self.by_name["all"]))
        return loss * (kept + drawn + self.by_name["center"].sum() + self.shadow["0.weight"].norm())


class Warms(Callback):
    """A learning rate by what the callback has seen."""

    def __init__(self) -> None:
        self.seen: list[float] = []
        self.factor = 1.0

    def on_train_batch_start(self, trainer: pl.Trainer, pl_module: Any, batch: Any, batch_idx: int) -> None:
        self.seen.append(float(batch_idx))
        self.factor *= 0.9
        for group in trainer.optimizers[0].param_groups:
            group["lr"] = 0.01 * (len(self.seen) + self.factor)


class LooksAhead(torch.optim.SGD):
    """Slow weights, of which its state dict says nothing."""

    def __init__(self, params: Any, lr: float) -> None:
        super().__init__(params, lr)
        self.steps_made = 0
        self.slow = [weights.detach().clone() for weights in self.param_groups[0]["params"]]

    def step(self, closure: Any = None) -> Any:  # type: ignore[override]
        loss = super().step(closure)
        self.steps_made += 1
        if self.steps_made % 2 == 0:
            for weights, slow in zip(self.param_groups[0]["params"], self.slow, strict=True):
                slow.lerp_(weights.data, 0.5)
                weights.data.copy_(slow)
        return loss


class WithLookahead(Net):
    def configure_optimizers(self) -> Any:
        return LooksAhead(self.parameters(), self.lr)


@pytest.mark.parametrize(("module", "callbacks"), [(Keeps, []), (Net, [Warms()]), (WithLookahead, [])])
def test_a_promoted_trial_goes_on_with_them(tmp_path: Path, module: type[Net], callbacks: list[Callback]) -> None:
    job: dict[str, Any] = {"module": module, "trainer": {"callbacks": callbacks}}
    whole = run_job(make_job(tmp_path / "whole", 3, **job))
    parts = [run_job(make_job(tmp_path / "parts", end, start_epoch=end - 1, **job)) for end in (1, 2, 3)]
    assert [evaluation.status for evaluation in (whole, *parts)] == [Status.OK] * 4, whole.reason
    assert curve(*parts) == dict(whole.curve)
    assert same_state(state(tmp_path / "parts"), state(tmp_path / "whole"))


def test_so_does_one_that_goes_on_inside_an_epoch(tmp_path: Path) -> None:
    promoted_equals_uninterrupted(tmp_path, module=Keeps, rung=1, full=2)


def test_what_training_does_not_change_is_not_in_the_checkpoint(tmp_path: Path) -> None:
    run_job(make_job(tmp_path, 1))
    assert "lightning_primo.values" not in torch.load(tmp_path / CHECKPOINT, weights_only=True)["callbacks"]


class Opens(Net):
    """A flag that tells of a file, and a list of parameters."""

    def __init__(self, lr: float = 0.02) -> None:
        super().__init__(lr)
        self.file: Any = None
        self.is_open, self.weights = False, []

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        if not self.is_open:
            self.file, self.is_open = object(), True
        assert self.file is not None
        self.weights.append(self.net[0].weight)
        return super().training_step(batch, batch_idx)


def test_what_tells_of_an_object_is_not_carried_but_told_of(tmp_path: Path) -> None:
    run_job(make_job(tmp_path, 1, module=Opens))
    with pytest.warns(CheckpointWarning, match="Opens goes on .* changed in 'is_open', 'weights'"):
        evaluation = run_job(make_job(tmp_path, 2, start_epoch=1, module=Opens))
    assert evaluation.status is Status.OK, evaluation.reason


class Falls(Net):
    def __init__(self, temperatures: tuple[float, ...] = (1.0,)) -> None:
        super().__init__()
        self.temperatures = list(temperatures)
        self.weights = self.net[0].weight.data
        self.view = {"of a parameter": self.net[0].weight.data[0]}


def test_what_begins_otherwise_is_the_new_modules_and_what_shares_memory_with_weights_stays_so() -> None:
    module, callback = Falls(), CarriedValues()
    callback.begin(module)
    module.temperatures[0] = 0.5
    module.weights += 1.0
    saved = callback.state(None, module)  # type: ignore[arg-type]
    assert saved["values"].keys() == {""}
    assert list(saved["values"][""]) == ["temperatures"]
    alike, other = Falls(), Falls((2.0,))
    for new in (alike, other):
        resumed = CarriedValues()
        resumed.begin(new)
        resumed.put_back(new, saved)
    assert (alike.temperatures, other.temperatures) == ([0.5], [2.0])


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        "text",
        [1, [2.0, ("a", {3})]],
        {"a": {1: None}, 2: frozenset({"b"})},
        collections.OrderedDict(a=1),
        collections.Counter("aab"),
        collections.deque([1, 2]),
        torch.arange(3),
        [torch.ones(2, dtype=torch.bfloat16), torch.zeros(0), torch.tensor(1j)],
        np.arange(6).reshape(2, 3),
        np.float32(0.5),
        (np.zeros((0, 2)), np.array(True)),
    ],
)
def test_values_come_back_as_they_were(value: Any, tmp_path: Path) -> None:
    encoded = Encoder(CPU).encoded(value)
    torch.save(encoded, tmp_path / "value")
    again = decoded(torch.load(tmp_path / "value", weights_only=True), None, Restored(CPU))
    assert type(again) is type(value)
    assert fingerprint(Encoder(CPU).encoded(again)) == fingerprint(encoded)


def test_containers_and_generators_stay_the_objects_that_they_are() -> None:
    present: tuple[Any, ...] = ([], {}, set(), collections.deque(maxlen=2), collections.defaultdict(list))
    values: tuple[Any, ...] = ([1], {1: 2}, {1}, collections.deque([1, 2, 3]), collections.defaultdict(list, {1: [2]}))
    for value, there in zip(values, present, strict=True):
        assert decoded(Encoder(CPU).encoded(value), there, Restored(CPU)) is there
    assert present == ([1], {1: 2}, {1}, collections.deque([2, 3]), {1: [2]})
    one, other = np.random.default_rng(1), np.random.default_rng(2)
    assert decoded(Encoder(CPU).encoded(one), other, Restored(CPU)) is other
    assert one.random() == other.random()
    with pytest.raises(NotPlainError):
        decoded(Encoder(CPU).encoded(one), random.Random(), Restored(CPU))


def test_what_is_not_plain_or_too_large_is_none() -> None:
    around: list[Any] = []
    around.append(around)
    sparse: Tensor = torch.eye(2).to_sparse()
    for value in (object(), [object()], around, sparse, torch.nn.Parameter(torch.ones(1)), np.array(["a"]), Meter):
        with pytest.raises(NotPlainError):
            Encoder(CPU).encoded(value)
    with pytest.raises(NotPlainError):
        Encoder(CPU, most_numbers=3).encoded([torch.ones(2), torch.ones(2)])
    with pytest.raises(NotPlainError):
        Encoder(CPU, most_entries=3).encoded([1, 2, 3])


def test_objects_are_looked_through_once_and_libraries_left_alone() -> None:
    module = Keeps()
    module.meter.module = module  # type: ignore[attr-defined]
    paths = [holder.path for holder in holders_of({"": module})]
    assert paths.count("meter") == 1
    assert paths.count("") == 1
    assert {"net", "net.0"} < set(paths)
    assert not any(path.startswith("generator") for path in paths)


class Ring(list[Any]):
    """The latest values, and where the next one goes."""

    def __init__(self, *values: Any) -> None:
        super().__init__(values)
        self.position = 0

    def add(self, value: Any) -> None:
        self[self.position : self.position + 1] = [value]
        self.position += 1


class Settings(dict[str, Any]):
    """Entries that are attributes too."""

    def __init__(self, **values: Any) -> None:
        super().__init__()
        for name, value in values.items():
            setattr(self, name, value)

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        self[name] = value


class Bare(dict[str, Any]):
    """Answers to any name, and has no attributes."""

    __slots__ = ()
    __getattr__ = dict.__getitem__


class Containers(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.ring, self.full = Ring(), Ring(torch.sin)
        self.settings = Settings(inner=Bare(), n=0)


def test_what_a_list_or_dict_counts_goes_with_its_entries() -> None:
    """Where they are not carried, it is not either."""
    module, new = Containers(), Containers()
    values, of_new = ValuesByPlace(), ValuesByPlace()
    values.begin(holders_of({"": module}), Encoder(CPU))
    of_new.begin(holders_of({"": new}), Encoder(CPU))
    module.ring.add(0.5)
    module.full.position = 1  # of the same entries
    module.settings.n = 1
    saved, lost = values.changed(holders_of({"": module}), Encoder(CPU))
    assert lost == ["ring", "settings"]
    of_new.put_back(holders_of({"": new}), saved, Encoder(CPU))
    assert (new.ring, new.ring.position) == ([], 0)
    assert (new.full, new.full.position) == ([torch.sin], 1)
    assert new.settings.n == new.settings["n"] == 0
