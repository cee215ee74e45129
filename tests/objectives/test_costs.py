from __future__ import annotations

import copy
import csv
import random
from pathlib import Path
from typing import Any

import cloudpickle
import lightning.pytorch as pl
import numpy as np
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger, Logger
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from lightning_primo.errors import InvalidArgumentError, NotMeasurableError
from lightning_primo.measure import LatencyMeasurement
from lightning_primo.objectives import CostCallback, FLOPs, Latency, ParameterCount, PeakMemory
from lightning_primo.problem.objective import Kind
from lightning_primo.runtimes import latency

MEASUREMENT = LatencyMeasurement(
    median=2e-3,
    iqr=1e-4,
    deviation=2e-5,
    runs=9,
    device="cpu",
    hardware="Chip",
    batch_size=1,
    dtype="float32",
    threads=1,
)


class Tiny(pl.LightningModule):
    """Linear(3, 2) with batch normalisation: 12 parameters, 6 multiply-adds per sample."""

    def __init__(self, *, manual: bool = False) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2), nn.Dropout(0.5))
        self.automatic_optimization = not manual
        self.batches: list[Tensor] = []

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.layers(x)
        return result

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        x = batch["x"] if isinstance(batch, dict) else batch[0]
        self.batches.append(x.clone())
        loss = self(x).square().mean()
        if not self.automatic_optimization:
            optimizer: Any = self.optimizers()
            optimizer.zero_grad()
            self.manual_backward(loss)
            optimizer.step()
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


class Validated(Tiny):
    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.log("val_loss", self(batch[0]).square().mean())


def data(**options: Any) -> DataLoader[Any]:
    return DataLoader(TensorDataset(torch.arange(24.0).reshape(8, 3), torch.zeros(8)), batch_size=4, **options)


def trainer(tmp_path: Path, *callbacks: pl.Callback, **options: Any) -> pl.Trainer:
    options = {
        "max_epochs": 2, "logger": False, "enable_checkpointing": False, "enable_progress_bar": False,
        "enable_model_summary": False, "accelerator": "cpu", "default_root_dir": tmp_path, "log_every_n_steps": 1,
        **options,
    }  # fmt: skip
    return pl.Trainer(callbacks=list(callbacks), **options)


@pytest.fixture(autouse=True)
def _quick(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a latency is, is not the subject here."""
    if "real_latency" not in request.fixturenames:
        monkeypatch.setattr(latency, "measure_latency", lambda module, inputs, **options: MEASUREMENT)


@pytest.fixture
def real_latency() -> None:
    return None


pytestmark = [
    pytest.mark.filterwarnings("ignore:The '(train|val)_dataloader' does not have many workers"),
    pytest.mark.filterwarnings("ignore:.*LeafSpec.* is deprecated:FutureWarning"),
]


def test_every_cost_reaches_every_logger_with_every_epoch(tmp_path: Path) -> None:
    callbacks = [ParameterCount(), FLOPs(), Latency("cpu"), PeakMemory("cpu")]
    loggers: list[Logger] = [CSVLogger(tmp_path, name="a"), CSVLogger(tmp_path, name="b")]
    fit = trainer(tmp_path, *callbacks, logger=loggers)
    fit.fit(Validated(), data(), data())
    # Parameters and buffers, the input, and two tensors alive at once; num_batches_tracked has 8 bytes.
    memory = 4 * (12 + 4) + 8 + 4 * 3 + 4 * 2 * 2
    expected = {
        "parameters": 12.0, "flops": 6.0, "latency_cpu": 2e-3, "latency_cpu_iqr": 1e-4, "latency_cpu_spread": 2e-5,
        "memory_cpu": memory,
    }  # fmt: skip
    assert {callback.objective.name: callback.value for callback in callbacks} == {
        name: value for name, value in expected.items() if not name.endswith(("_iqr", "_spread"))
    }
    assert {name: fit.callback_metrics[name].item() for name in expected} == expected
    for logger in loggers:
        rows = list(csv.DictReader((Path(str(logger.log_dir)) / "metrics.csv").read_text().splitlines()))
        for name, value in expected.items():
            assert [float(row[name]) for row in rows if row[name]] == [value, value]


def test_the_full_measurement_is_kept(tmp_path: Path) -> None:
    latency = Latency("cpu")
    assert latency.measurement is None
    trainer(tmp_path, latency).fit(Tiny(), data())
    assert latency.measurement is MEASUREMENT


@pytest.mark.parametrize("manual", [False, True])
@pytest.mark.parametrize("module", [Tiny, Validated])
def test_without_logger_with_and_without_validation_and_manual_optimisation(
    tmp_path: Path, manual: bool, module: type[Tiny]
) -> None:
    flops, parameters = FLOPs(), ParameterCount()
    loaders = (data(),) if module is Tiny else (data(), data())
    fit = trainer(tmp_path, flops, parameters)
    fit.fit(module(manual=manual), *loaders)
    assert (flops.value, parameters.value) == (6.0, 12.0)
    assert fit.callback_metrics["flops"] == 6.0


def test_large_counts_are_logged_exactly(tmp_path: Path) -> None:
    class Fixed(CostCallback):
        def measure(self, module: nn.Module, inputs: Any) -> float:
            return 2.0**30 + 1

    fit = trainer(tmp_path, Fixed(FLOPs().objective))
    fit.fit(Tiny(), data())
    assert fit.callback_metrics["flops"].item() == 2**30 + 1


def test_checkpoints_can_be_chosen_by_a_cost(tmp_path: Path) -> None:
    checkpoint = ModelCheckpoint(tmp_path, monitor="flops", save_on_train_epoch_end=True)
    trainer(tmp_path, FLOPs(), checkpoint, enable_checkpointing=True).fit(Tiny(), data())
    assert checkpoint.best_model_score == 6.0


@pytest.mark.usefixtures("real_latency")
def test_measuring_changes_nothing_in_the_training(tmp_path: Path) -> None:
    def run(*callbacks: pl.Callback) -> tuple[list[Tensor], dict[str, Tensor]]:
        torch.manual_seed(0)
        random.seed(0)
        np.random.seed(0)  # noqa: NPY002
        module = Tiny()
        loader = data(shuffle=True)
        trainer(tmp_path, *callbacks).fit(module, loader)
        return module.batches, module.state_dict()

    batches, state = run()
    measured_batches, measured_state = run(
        FLOPs(),
        Latency("cpu"),
        Latency("cpu", dtype=torch.float64, name="double"),
        PeakMemory("cpu", training=True, batch_size=4),
    )
    assert all(torch.equal(a, b) for a, b in zip(batches, measured_batches, strict=True))
    assert all(torch.equal(value, measured_state[name]) for name, value in state.items())


class Spy(CostCallback):
    """Keeps the inputs that it was given."""

    inputs: Any = None

    def __init__(self) -> None:
        super().__init__(FLOPs(name="spy").objective)

    def measure(self, module: nn.Module, inputs: Any) -> float:
        self.inputs = inputs
        return 0.0


def test_example_input_array_comes_first(tmp_path: Path) -> None:
    module, spy, flops = Tiny(), Spy(), FLOPs()
    module.example_input_array = torch.ones(5, 3)
    trainer(tmp_path, spy, flops).fit(module, data())
    assert torch.equal(spy.inputs, torch.ones(5, 3))
    assert flops.value == 6.0  # per sample, whatever the batch size


def test_else_a_sample_of_the_train_dataloader_is_taken(tmp_path: Path) -> None:
    spy = Spy()
    trainer(tmp_path, spy).fit(Tiny(), data())
    assert spy.inputs.tolist() == [[0.0, 1.0, 2.0]]


def test_of_a_dict_what_forward_takes(tmp_path: Path) -> None:
    spy = Spy()
    loader = DataLoader([{"x": torch.full((3,), float(i)), "label": i} for i in range(8)], batch_size=4)  # type: ignore[arg-type]
    trainer(tmp_path, spy).fit(Tiny(), loader)
    assert spy.inputs["x"].tolist() == [[0.0, 0.0, 0.0]]
    assert list(spy.inputs) == ["x"]


class Hooks:
    """Turns bytes into numbers as they go to the device."""

    def on_before_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        return [batch[0].float()]

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        return [batch[0] / 4]


class Bytes(pl.LightningDataModule):
    def train_dataloader(self) -> DataLoader[Any]:
        return DataLoader(TensorDataset(torch.ones(8, 3, dtype=torch.uint8)), batch_size=4)


class HookedBytes(Hooks, Bytes):
    pass


class HookedTiny(Hooks, Tiny):
    pass


def test_batch_transfer_hooks_of_data_module_or_module_apply(tmp_path: Path) -> None:
    for module, datamodule in ((Tiny(), HookedBytes()), (HookedTiny(), None)):
        spy = Spy()
        loaders = {"datamodule": datamodule} if datamodule else {"train_dataloaders": Bytes().train_dataloader()}
        trainer(tmp_path, spy).fit(module, **loaders)
        assert spy.inputs.tolist() == [[0.25, 0.25, 0.25]]


def test_data_without_recognisable_inputs_is_explained(tmp_path: Path) -> None:
    loader = DataLoader([{"image": torch.zeros(3)}] * 8, batch_size=4)  # type: ignore[arg-type]
    with pytest.raises(NotMeasurableError, match=r"keys \['image'\].*'example_input_array'"):
        trainer(tmp_path, FLOPs()).fit(Tiny(), loader)
    trainer(tmp_path, ParameterCount()).fit(Tiny(), data())  # needs no inputs


def test_rank_zero_measures_for_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flops = FLOPs()
    fit = trainer(tmp_path, flops)
    monkeypatch.setattr(flops, "measure", lambda module, inputs: pytest.fail("measured on another rank"))
    monkeypatch.setattr(pl.Trainer, "is_global_zero", property(lambda self: False))
    monkeypatch.setattr(fit.strategy, "broadcast", lambda obj, src=0: {"flops": 42.0} if obj == {} else obj)
    fit.fit(Tiny(), data())
    assert flops.value == 42.0
    assert fit.callback_metrics["flops"] == 42.0


def test_several_of_a_kind_have_keys_of_their_own(tmp_path: Path) -> None:
    one, many = Latency("cpu"), Latency("cpu", batch_size=64, name="latency_64")
    assert one.state_key != many.state_key
    fit = trainer(tmp_path, one, many)
    fit.fit(Tiny(), data())
    assert {"latency_cpu", "latency_64"} <= set(fit.callback_metrics)


def test_objectives() -> None:
    parameters = ParameterCount(at_most=1e6, at_least=10, reference=2e6).objective
    assert (parameters.kind, parameters.mode, parameters.log) == (Kind.EXACT, "min", True)
    assert (parameters.at_most, parameters.at_least, parameters.reference) == (1e6, 10, 2e6)
    assert FLOPs().objective.kind is Kind.EXACT
    assert Latency().objective.kind is PeakMemory().objective.kind is Kind.MEASURED
    names = [Latency(), Latency("cuda:1"), Latency("cpu", name="fast"), PeakMemory("cuda"), PeakMemory()]
    assert [callback.objective.name for callback in names] == [
        "latency", "latency_cuda", "fast", "memory_cuda", "memory"
    ]  # fmt: skip
    assert not ParameterCount().needs_inputs
    assert FLOPs().needs_inputs


def test_measure_without_a_trainer() -> None:
    with torch.device("meta"):
        module = Tiny()
    assert ParameterCount().measure(module) == 12.0
    assert FLOPs().measure(module, torch.rand(7, 3)) == 6.0
    frozen = Tiny()
    frozen.layers[0].requires_grad_(False)
    assert ParameterCount().measure(frozen) == 4.0
    assert ParameterCount(trainable_only=False).measure(frozen) == 12.0


@pytest.mark.parametrize(
    "callback",
    [ParameterCount(), FLOPs(at_most=5.0), Latency("cpu", dtype=torch.bfloat16), PeakMemory("cpu", training=True)],
    ids=repr,
)
def test_copies_and_pickles(callback: CostCallback) -> None:
    for twin in (copy.deepcopy(callback), cloudpickle.loads(cloudpickle.dumps(callback))):
        assert twin.objective == callback.objective
        assert twin.state_key == callback.state_key
        assert set(vars(twin)) == set(vars(callback))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Latency("cpu", batch_size=0), "'batch_size'"),
        (lambda: Latency("cpu", threads=0), "'threads'"),
        (lambda: Latency("cpu", dtype=torch.int8), "'dtype'"),
        (lambda: PeakMemory("cpu", batch_size=-1), "'batch_size'"),
        (lambda: FLOPs(at_most=1, at_least=2), "'at_least'"),
        (lambda: FLOPs(name=""), "'name'"),
    ],
)
def test_arguments_out_of_range(build: Any, message: str) -> None:
    with pytest.raises(InvalidArgumentError, match=message):
        build()
