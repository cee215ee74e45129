from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from lightning.pytorch.utilities.model_helpers import is_overridden
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, TensorDataset

from lightning_primo.errors import InvalidArgumentError
from lightning_primo.nas.distillation import distil
from lightning_primo.nas.pruning import prune
from tests.nas.networks import CONFIG, conv_net, images, outputs, seeded, state, train, unchanged

pytestmark = pytest.mark.filterwarnings("ignore:You defined a `validation_step` but have no `val_dataloader`")

INPUTS = images(32)


class Student(pl.LightningModule):
    """A user's module without a distillation_step."""

    def __init__(self, n_units: int = 8, n_outputs: int = 5) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Flatten(), nn.Linear(128, n_units), nn.ReLU(), nn.Linear(n_units, n_outputs))

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.net(x)
        return logits

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        return cross_entropy(self(batch[0]), batch[1])

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=0.01)


def loader() -> Any:
    return DataLoader(TensorDataset(INPUTS, torch.zeros(32, dtype=torch.long)), batch_size=8)


def fit(module: pl.LightningModule, epochs: int, **options: Any) -> pl.Trainer:
    trainer = pl.Trainer(
        accelerator="cpu",
        max_epochs=epochs,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module, loader(), **options)
    return trainer


def distance(student: nn.Module, teacher: nn.Module) -> float:
    return float((outputs(student, INPUTS) - outputs(teacher, INPUTS)).square().mean())


def dropping_student_and_teacher() -> tuple[Any, Any]:
    teacher = train(conv_net(CONFIG), INPUTS, steps=20)
    student = conv_net({**CONFIG, "n_filters_2": 5, "n_neurons_1": 4})
    prune(student, teacher, generator=seeded())
    return student, teacher


def test_a_pruned_network_comes_near_to_its_parent() -> None:
    student, teacher = dropping_student_and_teacher()
    before, taught = distance(student, teacher), state(teacher)
    distil(student, teacher)
    trainer = fit(student, 15)
    assert distance(student, teacher) < 0.3 * before
    # The student was trained in train mode, but the metric is the mean of what was minimised.
    assert 0 < trainer.callback_metrics["train_loss"] < before
    assert unchanged(teacher, taught)
    assert not teacher.training


def test_a_module_without_a_step_of_its_own() -> None:
    student, teacher = Student(), train(Student(16), INPUTS)
    before = distance(student, teacher)
    distil(student, teacher)
    assert is_overridden("training_step", student)
    fit(student, 10)
    assert distance(student, teacher) < 0.3 * before


def test_the_loss_is_the_mean_squared_error_of_the_logits_in_eval_mode_of_the_teacher() -> None:
    student, teacher = dropping_student_and_teacher()
    plain = Student()
    expected = {module: (module(INPUTS) - outputs(teacher, INPUTS)).square().mean() for module in (student, plain)}
    for module in (student, plain):
        distil(module, teacher.train())
        torch.testing.assert_close(module.training_step((INPUTS, torch.zeros(32)), 0), expected[module])
    assert all(parameter.grad is None for parameter in plain.parameters())


def test_the_teacher_is_no_part_of_the_student(tmp_path: Path) -> None:
    student, teacher = dropping_student_and_teacher()
    names = set(student.state_dict())
    n_modules = len(list(student.modules()))
    distil(student, teacher)
    trainer = fit(student, 1)
    trainer.save_checkpoint(tmp_path / "student.ckpt")
    saved = torch.load(tmp_path / "student.ckpt", weights_only=True)
    assert set(saved["state_dict"]) == set(student.state_dict()) == names
    assert len(list(student.modules())) == n_modules
    (optimizer,) = saved["optimizer_states"]
    assert len(optimizer["param_groups"][0]["params"]) == len(list(student.parameters()))
    loaded = type(student).load_from_checkpoint(tmp_path / "student.ckpt", weights_only=True)
    assert torch.equal(outputs(loaded, INPUTS), outputs(student, INPUTS))
    assert "training_step" not in vars(loaded)


def test_a_resumed_distillation_equals_an_uninterrupted_one(tmp_path: Path) -> None:
    whole, teacher = dropping_student_and_teacher()
    first, again = (dropping_student_and_teacher()[0] for _ in range(2))
    for module in (whole, first, again):
        distil(module, teacher)
    fit(whole, 4)
    fit(first, 2).save_checkpoint(tmp_path / "half.ckpt")
    fit(again, 4, ckpt_path=tmp_path / "half.ckpt", weights_only=True)
    assert unchanged(again, state(whole))
    assert not unchanged(first, state(whole))


def test_the_teacher_follows_in_type() -> None:
    student, teacher = Student().double(), Student(16)
    distil(student, teacher)
    assert student.training_step((INPUTS.double(), torch.zeros(32)), 0).dtype == torch.float64
    assert teacher.dtype == torch.float64


def test_what_cannot_be_distilled() -> None:
    student = Student()
    with pytest.raises(InvalidArgumentError, match="another module than 'module'"):
        distil(student, student)
    student.automatic_optimization = False
    with pytest.raises(InvalidArgumentError, match="Student optimises manually"):
        distil(student, Student())
    student = Student()
    student.distillation_step = 3  # type: ignore[assignment]
    with pytest.raises(InvalidArgumentError, match="'distillation_step' of Student must be a method, got 3"):
        distil(student, Student())


@pytest.mark.parametrize(
    ("teacher", "batch", "message"),
    [
        (Student(), {"x": INPUTS}, r"must be tuples \(inputs, ...\) to distil, got a dict; write distillation_step"),
        (Student(), (), "got a tuple"),
        (Student(n_outputs=1), (INPUTS,), r"same shape as the student Student, got \(32, 1\) and \(32, 5\); write"),
    ],
)
def test_batches_and_logits_that_do_not_fit(teacher: Student, batch: Any, message: str) -> None:
    student = Student()
    distil(student, teacher)
    with pytest.raises(InvalidArgumentError, match=message):
        student.training_step(batch, 0)
