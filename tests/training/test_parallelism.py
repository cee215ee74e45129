from __future__ import annotations

from typing import Any

import pytest
from lightning.pytorch.accelerators import CUDAAccelerator
from lightning.pytorch.plugins.environments import SLURMEnvironment
from lightning.pytorch.strategies import DDPStrategy, FSDPStrategy, SingleDeviceStrategy

from lightning_primo.errors import InvalidArgumentError
from lightning_primo.training import check_trainer_arguments
from lightning_primo.training.parallelism import check_indices, devices_per_trial, on_one_device, processes_per_trial


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_nodes": 2}, "'num_nodes' to 2.*devices=n.*'executor'"),
        ({"strategy": "ddp_spawn"}, "'ddp_spawn'.*use 'ddp'"),
        ({"strategy": "ddp_fork_find_unused_parameters_true"}, "use 'ddp'"),
        ({"strategy": "ddp_notebook", "devices": 2}, "'ddp_notebook'.*use 'ddp'"),
        ({"strategy": DDPStrategy(start_method="spawn")}, "'DDPStrategy'.*without 'start_method'"),
        ({"strategy": "deepspeed_stage_2"}, "folders of shards.*'fsdp'"),
        ({"strategy": FSDPStrategy(state_dict_type="sharded")}, "state_dict_type='full'"),
        ({"strategy": 3}, "'int'.*'ddp'"),
        ({"devices": 2, "plugins": SLURMEnvironment()}, "SLURMEnvironment.*leave it out"),
        ({"strategy": DDPStrategy(cluster_environment=SLURMEnvironment())}, "SLURMEnvironment"),
    ],
)
def test_what_a_trial_cannot_be_trained_with(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidArgumentError, match=message):
        check_trainer_arguments(arguments)


@pytest.mark.parametrize(
    ("arguments", "processes", "devices"),
    [
        ({}, 0, 1),
        ({"devices": 1}, 0, 1),
        ({"devices": [3]}, 0, 1),
        ({"devices": "auto", "accelerator": "cpu"}, 0, None),
        ({"strategy": SingleDeviceStrategy()}, 0, 1),
        ({"devices": 2}, 2, 2),
        ({"devices": "3", "strategy": "ddp"}, 3, 3),
        ({"devices": [0, 2]}, 2, 2),
        ({"devices": "0,2,"}, 2, 2),
        ({"devices": 4, "strategy": "fsdp"}, 4, 4),
        ({"devices": 1, "strategy": "ddp_find_unused_parameters_true"}, 1, 1),  # it would leave its group behind
        ({"devices": 2, "plugins": [], "strategy": DDPStrategy(find_unused_parameters=True)}, 2, 2),
    ],
)
def test_devices_and_processes(arguments: dict[str, Any], processes: int, devices: int | None) -> None:
    check_trainer_arguments(arguments)
    assert processes_per_trial(arguments) == processes
    assert devices_per_trial(arguments) == devices


@pytest.mark.parametrize(("there", "processes"), [(1, 0), (4, 4)])
def test_all_devices(monkeypatch: pytest.MonkeyPatch, there: int, processes: int) -> None:
    monkeypatch.setattr(CUDAAccelerator, "auto_device_count", staticmethod(lambda: there))
    monkeypatch.setattr(CUDAAccelerator, "is_available", staticmethod(lambda: True))
    for devices in ("auto", -1, "-1"):
        for accelerator in ("auto", "gpu", "cuda", CUDAAccelerator()):
            assert processes_per_trial({"devices": devices, "accelerator": accelerator}) == processes


def test_what_is_left_for_one_device() -> None:
    assert on_one_device({"precision": 32, "devices": 2, "strategy": "ddp"}) == {"precision": 32, "devices": 1}
    assert on_one_device({"devices": [2, 3], "sync_batchnorm": True}) == {"devices": [2]}
    alone = {"devices": [1], "strategy": "auto"}
    assert on_one_device(alone) == alone


def test_indices_and_workers() -> None:
    for devices in ([2, 3], "2,3"):
        check_indices({"devices": devices}, workers=1)
        with pytest.raises(InvalidArgumentError, match=r"workers = 2.*devices=2.*CUDA_VISIBLE_DEVICES"):
            check_indices({"devices": devices}, workers=2)
    check_indices({"devices": 2}, workers=2)
