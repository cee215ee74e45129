from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, TensorDataset

from datamodules import Digits
from models import Classifier, ConvNetClassifier, conv_net_space

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*does not have many workers"),
    pytest.mark.filterwarnings("ignore:`isinstance.treespec, LeafSpec.` is deprecated"),
]

SMALL: dict[str, Any] = {"n_conv": 2, "n_filters_1": 16, "n_filters_2": 16, "n_fc": 1, "n_neurons_1": 32}
DIGITS: dict[str, Any] = {"in_channels": 1, "image_size": 8, "n_classes": 10}


def trainer(**options: Any) -> pl.Trainer:
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    return pl.Trainer(accelerator="cpu", **{**quiet, "enable_model_summary": False, **options})


def constant_classifier(logits: list[float]) -> Classifier:
    """Gives the same logits for every image of one number."""
    network = nn.Linear(1, len(logits))
    with torch.no_grad():
        network.weight.zero_()
        network.bias.copy_(torch.tensor(logits))
    return Classifier(network, len(logits), lr=1e-30)


def test_a_short_training_on_digits_is_well_above_chance() -> None:
    pl.seed_everything(0, verbose=False)
    module = ConvNetClassifier(**SMALL, **DIGITS, lr=3e-3)
    fit = trainer(max_epochs=3)
    fit.fit(module, datamodule=Digits(32))
    logged = {name: float(value) for name, value in fit.callback_metrics.items()}
    assert set(logged) == {"train_loss", "val_loss", "val_accuracy", "val_error"}
    assert logged["val_accuracy"] > 0.85
    assert logged["val_error"] == pytest.approx(1 - logged["val_accuracy"])
    assert logged["train_loss"] < 1.0
    (tested,) = fit.test(module, datamodule=Digits(), verbose=False)
    assert set(tested) == {"test_loss", "test_accuracy", "test_error"}
    assert tested["test_error"] < 0.2


def test_logged_values_are_means_over_images_not_batches() -> None:
    """The last of the batches of 4, 4, 2 must weigh half as much as the others."""
    logits = [2.0, 0.0, -1.0]
    labels = torch.tensor([0, 0, 0, 0, 0, 1, 1, 0, 2, 2])
    loader = DataLoader(TensorDataset(torch.zeros(10, 1), labels), batch_size=4)
    fit = trainer(max_epochs=2)
    fit.fit(constant_classifier(logits), loader, loader)
    expected = float(cross_entropy(torch.tensor([logits] * 10), labels))
    assert fit.callback_metrics["train_loss"] == pytest.approx(expected)
    assert fit.callback_metrics["val_loss"] == pytest.approx(expected)
    assert fit.callback_metrics["val_error"] == pytest.approx(0.4)


def test_a_loss_that_is_not_a_number_is_logged_as_such() -> None:
    loader = DataLoader(TensorDataset(torch.zeros(6, 1), torch.zeros(6, dtype=torch.long)), batch_size=4)
    fit = trainer(max_epochs=1)
    fit.fit(constant_classifier([float("nan"), 0.0]), loader, loader)
    assert fit.callback_metrics["train_loss"].isnan()
    assert fit.callback_metrics["val_loss"].isnan()


def test_a_module_that_was_validated_can_be_trained() -> None:
    loader = DataLoader(TensorDataset(torch.zeros(4, 1), torch.zeros(4, dtype=torch.long)), batch_size=4)
    module = constant_classifier([1.0, 0.0])
    (before,) = trainer().validate(module, loader, verbose=False)
    fit = trainer(max_epochs=1)
    fit.fit(module, loader, loader)
    assert fit.callback_metrics["val_loss"] == pytest.approx(before["val_loss"])


def test_the_learning_rate_is_constant_unless_cosine() -> None:
    loader = DataLoader(TensorDataset(torch.zeros(4, 1), torch.zeros(4, dtype=torch.long)), batch_size=4)

    class Rates(pl.Callback):
        def __init__(self) -> None:
            self.seen: list[float] = []

        def on_train_batch_start(self, trainer: pl.Trainer, *_: Any) -> None:
            self.seen.append(trainer.optimizers[0].param_groups[0]["lr"])

    rates = {}
    for cosine in (False, True):
        callback = Rates()
        fit = trainer(max_epochs=4, callbacks=[callback])
        fit.fit(Classifier(nn.Linear(1, 2), 2, lr=0.1, cosine=cosine), loader, loader)
        rates[cosine] = callback.seen
    assert rates[False] == [0.1] * 4
    # lr * (1 + cos(pi * epoch / 4)) / 2
    assert rates[True] == pytest.approx([0.1, 0.0853553, 0.05, 0.0146447], rel=1e-5)


def test_cosine_needs_a_number_of_epochs() -> None:
    loader = DataLoader(TensorDataset(torch.zeros(4, 1), torch.zeros(4, dtype=torch.long)), batch_size=4)
    with pytest.raises(ValueError, match="'cosine' needs a Trainer with a finite 'max_epochs'"):
        trainer(max_epochs=-1, max_steps=1).fit(Classifier(nn.Linear(1, 2), 2, cosine=True), loader, loader)


def test_a_configuration_passes_as_keyword_arguments_and_builds_on_meta() -> None:
    for config in conv_net_space(seed=0).sample_configuration(5):
        with torch.device("meta"):
            module = ConvNetClassifier(**dict(config))
        assert module.lr == config["lr"]
        example = module.example_input_array
        assert isinstance(example, torch.Tensor)
        assert example.shape == (1, 3, 16, 16)
        assert example.is_meta
        assert module(example).shape == (1, 17)


def test_a_checkpoint_rebuilds_the_module_without_unpickling_code(tmp_path: Path) -> None:
    module = ConvNetClassifier(**SMALL, **DIGITS, batch_size=64)
    fit = trainer(max_epochs=1, limit_train_batches=2, limit_val_batches=0)
    fit.fit(module, datamodule=Digits())
    fit.save_checkpoint(tmp_path / "module.ckpt")
    loaded = ConvNetClassifier.load_from_checkpoint(tmp_path / "module.ckpt", weights_only=True)
    images = torch.randn(4, 1, 8, 8)
    assert torch.equal(loaded.eval()(images), module.eval()(images))


def test_a_deeper_child_is_rebuilt_from_its_checkpoint(tmp_path: Path) -> None:
    config = SMALL
    for _ in range(4):  # six convolutions, of which those before the last of a width do not pool
        config = ConvNetClassifier.deeper(config)[0]
    assert (config["n_conv"], config["pool_1"], config["pool_5"], config["pool_6"]) == (6, False, True, True)
    module = ConvNetClassifier(**config, **DIGITS)
    assert [stage.width for stage in module.stages()[4:6]] == ["n_filters_5", "n_filters_6"]
    assert [config[stage.width] for stage in module.stages() if stage.width] == [16] * 6 + [32]
    fit = trainer(max_epochs=1, limit_train_batches=2, limit_val_batches=0)
    fit.fit(module, datamodule=Digits())
    fit.save_checkpoint(tmp_path / "child.ckpt")
    loaded = ConvNetClassifier.load_from_checkpoint(tmp_path / "child.ckpt", weights_only=True)
    images = torch.randn(4, 1, 8, 8)
    assert torch.equal(loaded.eval()(images), module.eval()(images))
    rebuilt = ConvNetClassifier(**config, **DIGITS)
    rebuilt.load_state_dict(torch.load(tmp_path / "child.ckpt", weights_only=True)["state_dict"])
    assert torch.equal(rebuilt.eval()(images), module(images))


def test_a_misspelt_or_missing_layer_is_named() -> None:
    with pytest.raises(TypeError, match="n_filter_2"):
        ConvNetClassifier(**SMALL, **DIGITS, n_filter_2=3)  # type: ignore[call-arg]
    with pytest.raises(ValueError, match="'n_neurons_2', which is missing"):
        ConvNetClassifier(**{**SMALL, "n_fc": 2}, **DIGITS)


def test_the_distillation_step_logs_its_mean_over_images() -> None:
    images = torch.randn(10, 1)
    loader = DataLoader(TensorDataset(images, torch.zeros(10, dtype=torch.long)), batch_size=4)
    student, teacher = constant_classifier([1.0, 0.0]), Classifier(nn.Linear(1, 2), 2)

    class Distilled(pl.Callback):
        def setup(self, trainer: pl.Trainer, pl_module: Any, stage: str) -> None:
            pl_module.training_step = lambda batch, batch_idx: student.distillation_step(batch, batch_idx, teacher)

    fit = trainer(max_epochs=1, callbacks=[Distilled()])
    fit.fit(student, loader, loader)
    expected = (torch.tensor([1.0, 0.0]) - teacher(images).detach()).square().mean()
    assert fit.callback_metrics["train_loss"] == pytest.approx(float(expected))
    assert all(parameter.grad is None for parameter in teacher.parameters())


def test_predictions_are_probabilities() -> None:
    module = ConvNetClassifier(**SMALL, **DIGITS)
    batches = trainer().predict(module, datamodule=Digits())
    assert batches is not None
    probabilities = torch.cat([batch for batch in batches if isinstance(batch, torch.Tensor)])
    assert probabilities.shape == (len(Digits().splits().test[1]), 10)
    assert torch.allclose(probabilities.sum(1), torch.ones(len(probabilities)), atol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [((1, 0.1), "'n_classes' must be at least 2, got 1"), ((2, 0.0), "'lr' must be positive, got 0.0")],
)
def test_impossible_arguments_are_refused(arguments: tuple[int, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Classifier(nn.Linear(1, 1), *arguments)
