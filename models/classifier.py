"""Image classification as LightningModules: any network, and `ConvNet` straight from a configuration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import nn
from torch.nn.functional import cross_entropy, mse_loss
from torchmetrics import Metric
from torchmetrics.classification import MulticlassAccuracy
from typing_extensions import override

from models.conv_net import ConvNet, Stage
from models.space import deeper_conv_nets

Batch = tuple[torch.Tensor, torch.Tensor]


class _MeanLoss(Metric):
    """The mean over images of the batches' mean losses; a NaN shows in it, where `MeanMetric` would leave it out."""

    total: torch.Tensor
    count: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("total", torch.zeros(()), dist_reduce_fx="sum")
        self.add_state("count", torch.zeros(()), dist_reduce_fx="sum")

    @override
    def update(self, loss: torch.Tensor, batch_size: int) -> None:
        # Not in place: after Trainer.validate the states are inference tensors, which a later fit could not change.
        self.total = self.total + loss.detach() * batch_size
        self.count = self.count + batch_size

    @override
    def compute(self) -> torch.Tensor:
        return self.total / self.count


class Classifier(pl.LightningModule):
    """A classifier trained by cross entropy and Adam.

    Logs once per epoch, averaged over its images: `train_loss`; `val_loss`, `val_accuracy` and
    `val_error` = 1 - accuracy, both in [0, 1]; `test_loss`, `test_accuracy` and `test_error`.

    Args:
        network: Maps images, `batch x channels x height x width`, to logits, `batch x n_classes`.
        n_classes: Number of classes.
        lr: Learning rate of Adam.
        cosine: Whether the learning rate falls from `lr` to 0 over the Trainer's `max_epochs`, along a cosine.
        input_shape: `(channels, height, width)` of an image. If given, `example_input_array` is a batch of one image.

    Raises:
        ValueError: For fewer than 2 classes or a learning rate that is not positive.
    """

    def __init__(
        self,
        network: nn.Module,
        n_classes: int,
        lr: float = 1e-3,
        *,
        cosine: bool = False,
        input_shape: tuple[int, ...] | None = None,
    ) -> None:
        super().__init__()
        if n_classes < 2:
            raise ValueError(f"'n_classes' must be at least 2, got {n_classes}")
        if not lr > 0:
            raise ValueError(f"'lr' must be positive, got {lr}")
        self.network = network
        self.lr = lr
        self.cosine = cosine
        if input_shape is not None:
            self.example_input_array = torch.zeros(1, *input_shape)
        # Summed here, as one call of self.log per step would cost more than all of this.
        self.train_mean = _MeanLoss()
        self.eval_mean = _MeanLoss()
        self.accuracy = MulticlassAccuracy(n_classes, average="micro", validate_args=False)

    @override
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits, `batch x n_classes`, of images, `batch x channels x height x width`."""
        logits: torch.Tensor = self.network(images)
        return logits

    @override
    def training_step(self, batch: Batch, batch_idx: int) -> torch.Tensor:
        images, labels = batch
        loss = cross_entropy(self(images), labels)
        self.train_mean.update(loss, len(labels))
        return loss

    def distillation_step(self, batch: Batch, batch_idx: int, teacher: nn.Module) -> torch.Tensor:
        """In the place of `training_step`: the mean squared error to the teacher's logits, logged as `train_loss`."""
        images, labels = batch
        with torch.no_grad():
            wanted: torch.Tensor = teacher(images)
        loss = mse_loss(self(images), wanted)
        self.train_mean.update(loss, len(labels))
        return loss

    @override
    def on_train_epoch_end(self) -> None:
        self.log("train_loss", self.train_mean.compute(), sync_dist=True)
        self.train_mean.reset()

    @override
    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        self._evaluate(batch)

    @override
    def on_validation_epoch_end(self) -> None:
        self._log_evaluation("val")

    @override
    def test_step(self, batch: Batch, batch_idx: int) -> None:
        self._evaluate(batch)

    @override
    def on_test_epoch_end(self) -> None:
        self._log_evaluation("test")

    @override
    def predict_step(self, batch: Batch, batch_idx: int) -> torch.Tensor:
        images, _ = batch
        probabilities: torch.Tensor = self(images).softmax(dim=-1)
        return probabilities

    @override
    def configure_optimizers(self) -> OptimizerLRScheduler:
        # Fused is about three times as fast on the CPU, where it matters for small networks. Elsewhere torch's own
        # choice stands, as Lightning's gradient clipping with 16-bit precision refuses fused optimizers.
        fused = True if self.device.type == "cpu" else None
        optimizer = torch.optim.Adam(self.parameters(), lr=self.lr, fused=fused)
        if not self.cosine:
            return optimizer
        epochs = self.trainer.max_epochs
        if epochs is None or epochs < 1:
            raise ValueError(f"'cosine' needs a Trainer with a finite 'max_epochs', got {epochs}")
        return [optimizer], [torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=epochs)]

    def _evaluate(self, batch: Batch) -> None:
        images, labels = batch
        logits = self(images)
        self.eval_mean.update(cross_entropy(logits, labels), len(labels))
        self.accuracy.update(logits, labels)

    def _log_evaluation(self, stage: str) -> None:
        accuracy = self.accuracy.compute()
        self.log_dict(
            {
                f"{stage}_loss": self.eval_mean.compute(),
                f"{stage}_accuracy": accuracy,
                f"{stage}_error": 1 - accuracy,
            },
            sync_dist=True,
        )
        self.eval_mean.reset()
        self.accuracy.reset()


class ConvNetClassifier(Classifier):
    """A `Classifier` of a `ConvNet`, from the hyperparameters of `conv_net_space` as keyword arguments.

    `ConvNetClassifier(**config)` and `ConvNetClassifier.load_from_checkpoint(path)` both work. The images default to
    those of Flowers-17, 16 x 16 in colour. There are up to six layers of each kind; arguments for layers beyond
    `n_conv` and `n_fc` are not used.

    Args:
        in_channels: Channels of the images.
        image_size: Height and width of the images in pixels, or one number for square images.
        n_classes: Number of classes.
        n_conv: Number of convolutions.
        n_filters_1: Filters of the first convolution.
        n_filters_2, n_filters_3, n_filters_4, n_filters_5, n_filters_6: Those of the others, as far as there are any.
        pool_1, pool_2, pool_3, pool_4, pool_5, pool_6: Whether pooling follows the convolution of that number.
        kernel_size: Side of the convolutions' kernels.
        batch_norm: Whether the convolutions are followed by batch normalisation.
        global_average_pooling: Whether the maps are averaged over before the fully connected layers.
        n_fc: Number of fully connected layers before the head.
        n_neurons_1: Neurons of the first fully connected layer.
        n_neurons_2, n_neurons_3, n_neurons_4, n_neurons_5, n_neurons_6: Those of the others, as far as there are any.
        lr: Learning rate of Adam.
        batch_size: Part of the search space, but the data module's business: accepted and not used.
        cosine: Whether the learning rate falls to 0 over the Trainer's `max_epochs`, along a cosine.

    Raises:
        ValueError: What `ConvNet.from_config` and `Classifier` raise.
    """

    network: ConvNet
    training_hyperparameters = ("lr", "batch_size")
    """Those that say nothing about the network."""

    def __init__(
        self,
        *,
        in_channels: int = 3,
        image_size: int | tuple[int, int] = 16,
        n_classes: int = 17,
        n_conv: int,
        n_filters_1: int,
        n_filters_2: int | None = None,
        n_filters_3: int | None = None,
        n_filters_4: int | None = None,
        n_filters_5: int | None = None,
        n_filters_6: int | None = None,
        pool_1: bool = True,
        pool_2: bool = True,
        pool_3: bool = True,
        pool_4: bool = True,
        pool_5: bool = True,
        pool_6: bool = True,
        kernel_size: int = 3,
        batch_norm: bool = True,
        global_average_pooling: bool = True,
        n_fc: int,
        n_neurons_1: int,
        n_neurons_2: int | None = None,
        n_neurons_3: int | None = None,
        n_neurons_4: int | None = None,
        n_neurons_5: int | None = None,
        n_neurons_6: int | None = None,
        lr: float = 1e-3,
        batch_size: int | None = None,
        cosine: bool = False,
    ) -> None:
        config: dict[str, Any] = {
            "n_conv": n_conv,
            "kernel_size": kernel_size,
            "batch_norm": batch_norm,
            "global_average_pooling": global_average_pooling,
            "n_fc": n_fc,
        }
        per_layer = {
            "n_filters": (n_filters_1, n_filters_2, n_filters_3, n_filters_4, n_filters_5, n_filters_6),
            "pool": (pool_1, pool_2, pool_3, pool_4, pool_5, pool_6),
            "n_neurons": (n_neurons_1, n_neurons_2, n_neurons_3, n_neurons_4, n_neurons_5, n_neurons_6),
        }
        config |= {f"{name}_{i}": value for name, values in per_layer.items() for i, value in enumerate(values, 1)}
        network = ConvNet.from_config(config, in_channels=in_channels, image_size=image_size, n_classes=n_classes)
        super().__init__(network, n_classes, lr, cosine=cosine, input_shape=network.input_shape)
        self.save_hyperparameters()

    def stages(self) -> list[Stage]:
        """The network as a chain, input to head."""
        return self.network.stages()

    @staticmethod
    def deeper(config: Mapping[str, Any]) -> list[dict[str, Any]]:
        """The configurations with one identity layer more, see `deeper_conv_nets`."""
        return deeper_conv_nets(config)
