from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from lightning.pytorch.callbacks import GradientAccumulationScheduler
from lightning.pytorch.utilities.combined_loader import CombinedLoader
from torch import Tensor, nn
from torch.utils.data import BatchSampler, DataLoader, IterableDataset, RandomSampler, TensorDataset

from lightning_primo.callbacks import ReproducibleEpochs, reproducibility
from lightning_primo.errors import InvalidArgumentError, MicroBatchError
from lightning_primo.training.out_of_memory.micro_batch_sampler import MicroBatchSampler, WholeBatches
from lightning_primo.training.out_of_memory.micro_batches import MicroBatches
from lightning_primo.training.process_state import quiet_lightning

N, BATCH = 22, 6


def _named(arguments: dict[str, Any]) -> str:
    """The same in every process of the tests, as an object's address is not."""
    return " ".join(
        f"{name} {value if isinstance(value, (int, float)) else ''}".strip() for name, value in arguments.items()
    )


class Recording(pl.LightningModule):
    """No batch normalisation; notes the samples of every batch, the steps and the validations."""

    frequency = 1

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1))
        self.sizes: list[int] = []
        self.seen: list[float] = []
        self.val_sizes: list[int] = []
        self.validated_at: list[int] = []
        self.steps = 0
        self.lrs: list[float] = []

    def samples(self, batch: Any) -> list[Any]:
        parts = list(batch.values()) if isinstance(batch, dict) else batch
        return [part[0] for part in parts] if isinstance(parts[0], (list, tuple)) else [parts[0]]

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        inputs = self.samples(batch)
        self.sizes.append(len(inputs[0]))
        self.seen += [round(float(value), 6) for value in inputs[0][:, 0]]
        losses = [nn.functional.mse_loss(self.net(x), x.sum(1, keepdim=True)) for x in inputs]
        loss = torch.stack(losses).sum()
        self.log("train_loss", loss, on_epoch=True, on_step=False, batch_size=len(inputs[0]))
        return loss

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.val_sizes.append(len(batch[0]))
        self.log("val_loss", nn.functional.mse_loss(self.net(batch[0]), batch[0].sum(1, keepdim=True)))

    def on_validation_start(self) -> None:
        self.validated_at.append(self.steps)

    def on_before_optimizer_step(self, optimizer: Any) -> None:
        self.steps += 1
        self.lrs.append(optimizer.param_groups[0]["lr"])

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.SGD(self.parameters(), lr=0.05, momentum=0.9)
        self.total = int(self.trainer.estimated_stepping_batches)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=self.total + 1)
        config = {"scheduler": schedule, "interval": "step", "frequency": self.frequency}
        return {"optimizer": optimizer, "lr_scheduler": config}


def data(n: int = N) -> TensorDataset:
    return TensorDataset(torch.randn(n, 3, generator=torch.Generator().manual_seed(n)))


def shuffled(n: int = N, batch_size: int = BATCH, **arguments: Any) -> DataLoader[Any]:
    return DataLoader(data(n), batch_size, shuffle=True, **arguments)


class Stream(IterableDataset[Any]):
    def __iter__(self) -> Any:
        return iter(data())


def stream(**arguments: Any) -> DataLoader[Any]:
    """Of 22 samples, the last 4 of which are left out."""
    return DataLoader(Stream(), BATCH, drop_last=True, **arguments)


def fit(
    folder: Path, parts: int, train: Any, val: Any = None, *, module: type[Recording] = Recording, **arguments: Any
) -> tuple[Recording, pl.Trainer]:
    torch.manual_seed(3)
    net = module()
    callbacks = [ReproducibleEpochs(5), MicroBatches(parts), *arguments.pop("callbacks", [])]
    own = {"accelerator": "cpu", "logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    with quiet_lightning():
        trainer = pl.Trainer(
            **{**own, "max_epochs": 2, "enable_model_summary": False, "default_root_dir": folder, **arguments},
            callbacks=callbacks,
        )
        trainer.fit(net, train, DataLoader(data(10), 4) if val is None else val)
    return net, trainer


def same_training(folder: Path, parts: int, train: Any, **arguments: Any) -> Recording:
    """The training in parts, after it was compared with that in whole batches."""
    whole, whole_trainer = fit(folder, 1, train, **copy.deepcopy(arguments))
    divided, trainer = fit(folder, parts, train, **copy.deepcopy(arguments))
    assert divided.seen == whole.seen
    assert max(divided.sizes) == -(-max(whole.sizes) // parts)
    assert (divided.steps, divided.lrs, divided.total) == (whole.steps, whole.lrs, whole.total)
    assert divided.validated_at == whole.validated_at
    for name, weight in whole.state_dict().items():
        torch.testing.assert_close(divided.state_dict()[name], weight, rtol=1e-4, atol=1e-6)
    for name in ("train_loss", "val_loss"):
        torch.testing.assert_close(trainer.callback_metrics[name], whole_trainer.callback_metrics[name])
    return divided


@pytest.mark.parametrize("parts", [2, 4])
@pytest.mark.parametrize("drop_last", [False, True])
@pytest.mark.parametrize("n", [18, N, 19])
def test_the_same_training_as_in_whole_batches(tmp_path: Path, parts: int, drop_last: bool, n: int) -> None:
    divided = same_training(tmp_path, parts, shuffled(n, drop_last=drop_last))
    assert max(divided.val_sizes) == 4 // min(parts, 4)


@pytest.mark.parametrize(
    "arguments",
    [
        {"accumulate_grad_batches": 3},
        {"callbacks": [GradientAccumulationScheduler({0: 2, 1: 3})]},
        {"limit_train_batches": 3, "limit_val_batches": 2},
        {"limit_train_batches": 0.8, "limit_val_batches": 0.7},
        {"limit_train_batches": 4},
        {"val_check_interval": 0.5},
        {"val_check_interval": 2},
        {"val_check_interval": 4},
        {"reload_dataloaders_every_n_epochs": 1},
        {"max_steps": 5},
        {"num_sanity_val_steps": 2},
    ],
    ids=_named,
)
def test_arguments_of_the_trainer_keep_their_meaning(tmp_path: Path, arguments: Any) -> None:
    # 20 samples in batches of 6: the last has 2, which come in one part of 2 rather than in single samples.
    same_training(tmp_path, 2, shuffled(20), **arguments)


def test_a_schedule_by_several_steps(tmp_path: Path) -> None:
    class Every(Recording):
        frequency = 2

    same_training(tmp_path, 2, shuffled(24), module=Every)


def test_loaders_of_all_kinds(tmp_path: Path) -> None:
    batched: DataLoader[Any] = DataLoader(
        data(), sampler=BatchSampler(RandomSampler(range(N)), BATCH, drop_last=False), batch_size=None
    )
    loaders = [
        batched,
        DataLoader(data(), batch_sampler=BatchSampler(RandomSampler(range(N)), BATCH, drop_last=False)),
        shuffled(num_workers=1, persistent_workers=True),
    ]
    for train in loaders[:2]:
        same_training(tmp_path, 2, train)
    reproducibility._warn_of_persistent_workers.cache_clear()  # once per process, perhaps for another test
    with pytest.warns(UserWarning, match="persistent_workers"):
        same_training(tmp_path, 3, loaders[2])


@pytest.mark.parametrize("wrap", [dict, lambda loaders: CombinedLoader(loaders, "min_size")])
def test_several_loaders(tmp_path: Path, wrap: Any) -> None:
    same_training(tmp_path, 2, wrap({"a": shuffled(24), "b": shuffled(18)}))


def test_streams(tmp_path: Path) -> None:
    for arguments in ({}, {"limit_train_batches": 2}, {"val_check_interval": 2}):
        for parts in (2, 4):
            same_training(tmp_path, parts, stream(), module=NoSchedule, **arguments)
    same_training(tmp_path, 2, stream(num_workers=1), module=NoSchedule)
    for val in (stream(), DataLoader(Stream(), BATCH)):
        divided = same_training(tmp_path, 2, stream(), module=NoSchedule, val=val)
        assert max(divided.val_sizes) == BATCH // 2


def test_what_is_asked_of_a_stream() -> None:
    class Shuffled(Stream):
        epoch = 0

        def set_epoch(self, epoch: int) -> None:
            self.epoch = epoch

    dataset = Shuffled()
    whole = copy.copy(WholeBatches(dataset, BATCH))
    whole.set_epoch(3)
    assert dataset.epoch == whole.epoch == 3
    assert len(list(whole)) == 18
    assert not hasattr(whole, "__len__")


def test_shared_loaders_are_put_back(tmp_path: Path) -> None:
    train, val = shuffled(), DataLoader(data(10), 4)
    before = train.batch_sampler, val.batch_sampler

    class Failing(Recording):
        def training_step(self, batch: Any, batch_idx: int) -> Tensor:
            raise KeyError

    endless = stream()
    dataset = endless.dataset
    fit(tmp_path, 2, train, val)
    assert (train.batch_sampler, val.batch_sampler) == before
    fit(tmp_path, 2, endless, val, module=NoSchedule)
    assert endless.dataset is dataset
    with pytest.raises(KeyError):
        fit(tmp_path, 2, train, val, module=Failing)
    assert (train.batch_sampler, val.batch_sampler) == before
    assert train.generator is None


@pytest.mark.filterwarnings("ignore:.*persistent_workers:UserWarning")
def test_workers_that_outlive_a_fit_are_not_asked_for_whole_batches(tmp_path: Path) -> None:
    train = shuffled(24, num_workers=1, persistent_workers=True)
    sizes = [set(fit(tmp_path, parts, train, max_epochs=1)[0].sizes) for parts in (1, 2, 1)]
    assert sizes == [{6}, {3}, {6}]


@pytest.mark.parametrize(
    "arguments",
    [{"accumulate_grad_batches": 2}, {"callbacks": [GradientAccumulationScheduler({0: 1, 1: 2})]}],
    ids=_named,
)
def test_a_trainer_fits_again_as_before(tmp_path: Path, arguments: Any) -> None:
    _, trainer = fit(tmp_path, 2, shuffled(24), limit_train_batches=3, limit_val_batches=0.7, **arguments)
    limits = trainer.limit_train_batches, trainer.limit_val_batches
    assert (*limits, trainer.accumulate_grad_batches) == (3, 0.7, arguments.get("accumulate_grad_batches", 1))
    assert [config.frequency for config in trainer.lr_scheduler_configs] == [1]
    steps = trainer.global_step
    trainer.fit_loop.max_epochs = 4
    with quiet_lightning():
        trainer.fit(again := Recording(), shuffled(24), DataLoader(data(10), 4))
    assert set(again.sizes) == {3}
    assert len(again.sizes) == 12
    whole = fit(tmp_path, 1, shuffled(24), max_epochs=4, limit_train_batches=3, **copy.deepcopy(arguments))[1]
    assert (steps, trainer.global_step) == (4 if "callbacks" not in arguments else 5, whole.global_step)


def test_overfitting_one_batch(tmp_path: Path) -> None:
    class Quiet(Recording):
        def on_validation_start(self) -> None:
            pass

    with pytest.warns(UserWarning, match="turning off the train dataloader shuffling"):
        same_training(tmp_path, 2, shuffled(24), module=Quiet, overfit_batches=1)


def test_a_single_loader_in_a_dict(tmp_path: Path) -> None:
    same_training(tmp_path, 4, {"a": shuffled(19)})


class Manual(Recording):
    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = False


class NoSchedule(Recording):
    def configure_optimizers(self) -> Any:
        self.total = 0
        return torch.optim.SGD(self.parameters(), lr=0.05)


class Buckets(BatchSampler):
    def __iter__(self) -> Any:
        return iter([[0, 1, 2, 3], [4, 5, 6, 7]])


class Lengthless:
    def __iter__(self) -> Any:
        return iter(range(N))


class Own:
    """A loader that is no DataLoader."""

    def __iter__(self) -> Any:
        return iter([[torch.zeros(4, 3)]])


class Sized(Stream):
    def __len__(self) -> int:
        return N


@pytest.mark.parametrize(
    ("train", "module", "message"),
    [
        (shuffled(), Manual, "Manual optimises manually"),
        (shuffled(batch_size=1), Recording, "1 samples in a batch"),
        (Own(), Recording, "is a Own"),
        (DataLoader(data(), batch_size=None), Recording, "its dataset alone"),
        (DataLoader(data(), batch_sampler=Buckets(range(8), 4, False)), Recording, "its Buckets alone"),
        (
            DataLoader(data(), BATCH, sampler=Lengthless()),
            Recording,
            "the Lengthless of the train loader has no length",
        ),
        (DataLoader(Stream(), BATCH, num_workers=2), Recording, "several workers"),
        (DataLoader(Stream(), BATCH), Recording, "last batch may be smaller than the others; 'drop_last=True'"),
        (DataLoader(Sized(), BATCH), Recording, "number of batches would change"),
        ({"a": shuffled(), "b": shuffled(19)}, Recording, "only 1 samples"),
    ],
)
def test_what_cannot_be_divided(tmp_path: Path, train: Any, module: Any, message: str) -> None:
    with pytest.raises(MicroBatchError, match=message):
        fit(tmp_path, 2, train, module=module)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"val_check_interval": 5, "check_val_every_n_epoch": None}, "'val_check_interval' = 5 counts batches over"),
        ({"limit_train_batches": 0.2}, "a limit of 0.2 allows no batch"),
    ],
    ids=str,
)
def test_arguments_of_the_trainer_that_cannot_be_kept(tmp_path: Path, arguments: Any, message: str) -> None:
    with pytest.raises(MicroBatchError, match=message):
        fit(tmp_path, 2, shuffled(), **arguments)


def test_validation_that_cannot_be_divided_is_left_as_it_is(tmp_path: Path) -> None:
    divided, _ = fit(tmp_path, 2, shuffled(), Own())
    assert (max(divided.sizes), set(divided.val_sizes)) == (3, {4})

    class Large(Recording):
        def validation_step(self, batch: Any, batch_idx: int) -> None:
            raise MemoryError

    for val, obstacle in ((Own(), "is a Own"), (DataLoader(data(), 2), "single samples"), (None, None)):
        division = MicroBatches(2)
        with pytest.raises(MemoryError):
            fit(tmp_path, 1, shuffled(), val, module=Large, callbacks=[division])
        assert (obstacle in division.obstacle) if obstacle and division.obstacle else obstacle is division.obstacle


def test_the_parts_of_a_batch() -> None:
    def parts(n: int, batch_size: int, number: int, drop_last: bool = False) -> list[list[int]]:
        sampler = MicroBatchSampler(range(n), batch_size, drop_last, number)
        divided = list(sampler)
        assert len(divided) == len(sampler)
        return divided

    assert parts(10, 5, 2) == [[0, 1, 2], [3, 4], [5, 6, 7], [8, 9]]
    assert parts(9, 4, 4) == [[i] for i in range(9)]
    assert parts(11, 8, 4) == [[0, 1], [2, 3], [4, 5], [6, 7], [8, 9, 10]]
    assert parts(11, 8, 2, drop_last=True) == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert parts(0, 4, 2) == []
    sampler = MicroBatchSampler(range(8), 5, False, 2)
    assert [sampler.weight(i) for i in range(3)] == [1.2, 0.8, 2.0]


def test_parts_must_be_a_whole_number() -> None:
    with pytest.raises(InvalidArgumentError, match="'parts' must be a whole number of at least 1, got 0"):
        MicroBatches(0)
