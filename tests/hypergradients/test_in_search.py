"""Trainings of a search: resumed bit for bit, with the tuned values among the measurements."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import pytest
import torch
from ConfigSpace import ConfigurationSpace, Float

from lightning_primo import (
    HypergradientDescent,
    ImplicitHypergradients,
    Metric,
    RandomSearch,
    Search,
    UnrolledHypergradients,
)
from lightning_primo.callbacks import TuningCallback
from lightning_primo.errors import InvalidArgumentError
from lightning_primo.hypergradients import Interval, NeumannSeries, Positive
from lightning_primo.layout import CHECKPOINT
from lightning_primo.problem.trial import Status
from lightning_primo.training import preflight, run_job
from tests.tiny import Data, Net
from tests.training.jobs import curve, make_job, state


class Tunable(Net):
    """Two hyperparameters in the loss; no schedule."""

    def __init__(self, lr: float = 0.02) -> None:
        super().__init__(lr)
        self.register_buffer("weight_decay", torch.tensor(0.01))
        self.register_buffer("noise", torch.tensor(0.1))

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        x, y = batch
        loss = self.loss((x + self.noise * torch.randn_like(x), y))
        self.log("train_loss", loss, batch_size=4)
        return loss + self.weight_decay * sum(p.square().sum() for p in self.net.parameters())

    def validation_step(self, batch: Any, batch_idx: int) -> Any:
        loss = self.loss(batch)
        self.log("val_loss", loss, batch_size=4)
        return loss

    def configure_optimizers(self) -> Any:
        return torch.optim.Adam(self.parameters(), lr=self.lr)


TUNED = {"weight_decay": Positive(), "noise": Interval(0, 0.5)}
CALLBACKS = {
    "unrolled": [UnrolledHypergradients(TUNED, steps=2)],
    "both": [HypergradientDescent(0.1), ImplicitHypergradients(TUNED, every=2, solver=NeumannSeries(3))],
}


@pytest.mark.parametrize("name", CALLBACKS)
def test_a_promoted_trial_is_the_same_bit_for_bit(name: str, tmp_path: Path) -> None:
    options: dict[str, Any] = {"module": Tunable, "trainer": {"callbacks": CALLBACKS[name]}}
    whole = run_job(make_job(tmp_path / "whole", 4, **options))
    parts = [
        run_job(make_job(tmp_path / "parts", epoch, start_epoch=start, **options))
        for start, epoch in ((0, 1), (1, 3), (3, 4))
    ]
    assert whole.status is Status.OK, whole.reason
    assert curve(*parts) == whole.curve
    assert parts[-1].measurements == whole.measurements
    assert parts[0].measurements != whole.measurements
    a, b = (torch.load(tmp_path / part / CHECKPOINT, weights_only=True) for part in ("whole", "parts"))
    assert_same(state(tmp_path / "parts"), state(tmp_path / "whole"))
    assert_same({k: v for k, v in b["callbacks"].items() if "Hypergradient" in k}, a["callbacks"])
    expected = {"unrolled": 2, "both": 3}[name]
    assert len(whole.measurements) == expected
    assert all(name.startswith("tuned_") for name in whole.measurements)


def assert_same(found: Any, expected: Any) -> None:
    """Equal, tensors bit for bit; what is found may be less."""
    if isinstance(found, dict):
        for key, value in found.items():
            assert_same(value, expected[key])
    elif isinstance(found, (list, tuple)):
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            assert_same(one, other)
    elif isinstance(found, torch.Tensor):
        assert torch.equal(found, expected)
    else:
        assert found == expected


def test_a_killed_trial_goes_on_from_its_checkpoint(tmp_path: Path) -> None:
    class Killed(Tunable):
        def on_train_epoch_start(self) -> None:
            if self.current_epoch == 2 and not (tmp_path / "killed").exists():
                (tmp_path / "killed").touch()
                raise KeyboardInterrupt

    trainer = {"callbacks": CALLBACKS["both"]}
    whole = run_job(make_job(tmp_path / "whole", 4, module=Tunable, trainer=trainer))
    job = make_job(tmp_path / "again", 4, module=Killed, trainer=trainer, checkpoint_every_seconds=0.0)
    with pytest.raises(KeyboardInterrupt):
        run_job(job)
    again = run_job(job)
    assert (again.curve, again.measurements) == (whole.curve, whole.measurements)
    assert_same(state(tmp_path / "again"), state(tmp_path / "whole"))


def test_two_callbacks_that_tune_the_same_are_refused(tmp_path: Path) -> None:
    class Other(HypergradientDescent):
        pass

    job = make_job(tmp_path, 1, module=Tunable, trainer={"callbacks": [HypergradientDescent(), Other()]})
    evaluation = run_job(job)
    assert evaluation.status is Status.ERROR
    assert "two callbacks tune the same" in evaluation.reason
    assert "'tuned_lr'" in evaluation.reason


def test_a_search_tells_what_was_tuned(tmp_path: Path) -> None:
    space = ConfigurationSpace(seed=0)
    space.add(Float("lr", (1e-3, 1e-1), log=True))
    descent = ImplicitHypergradients(TUNED, optimizer=functools.partial(torch.optim.Adam, lr=0.1))
    search = Search(
        space,
        module=Tunable,
        datamodule=Data(),
        objectives=[Metric("val_loss")],
        algorithm=RandomSearch(),
        epochs=(1, 2),
        directory=tmp_path,
        trainer={"accelerator": "cpu", "callbacks": [descent]},
    )
    result = search.run(trials=2, progress=False)
    table = result.to_pandas()
    assert table["tuned_weight_decay"].nunique() == 2
    assert bool(table["tuned_noise"].between(0, 0.5).all())
    best = result.front[0]
    module = result.load(best)
    assert module.weight_decay.item() == pytest.approx(best.measurements["tuned_weight_decay"])
    assert isinstance(descent, TuningCallback)
    assert descent.tuned() == {}  # each trial has a copy


def test_a_mistake_is_found_before_the_search(tmp_path: Path) -> None:

    job = make_job(tmp_path, module=Tunable, trainer={"callbacks": [ImplicitHypergradients({"decay": Positive()})]})
    with pytest.raises(InvalidArgumentError, match=r"'decay'; valid choices: .*'weight_decay'"):
        preflight(job)
