"""How many devices a trial trains on, and with which strategies: what the Trainer's arguments say of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lightning.fabric.plugins.environments.cluster_environment import ClusterEnvironment
from lightning.pytorch.accelerators import (
    Accelerator,
    AcceleratorRegistry,
    CPUAccelerator,
    CUDAAccelerator,
    MPSAccelerator,
    XLAAccelerator,
)
from lightning.pytorch.strategies import (
    DeepSpeedStrategy,
    FSDPStrategy,
    ModelParallelStrategy,
    ParallelStrategy,
    Strategy,
)
from lightning.pytorch.strategies.xla import XLAStrategy

from lightning_primo.errors import InvalidArgumentError
from lightning_primo.training.loggers import listed

_ALL = ("auto", "-1")
_STARTS_PROCESSES = ("spawn", "fork", "notebook")
_ONE_DEVICE = ("devices", "strategy", "num_nodes", "sync_batchnorm", "use_distributed_sampler")
_FOLDERS = (
    "writes checkpoints as folders of shards, which a trial cannot be continued or loaded from; use {instead}, whose "
    "checkpoint is one file"
)


def check_devices(arguments: Mapping[str, Any]) -> None:
    """Raise if a trial cannot be trained with the devices and the strategy in `arguments` of the Trainer.

    Raises:
        InvalidArgumentError: For several nodes, a strategy that starts the processes by itself or keeps no checkpoint
            in one file, or a cluster environment where a trial may have several processes.
    """
    nodes = arguments.get("num_nodes", 1)
    if nodes != 1:
        raise InvalidArgumentError(
            f"'trainer' must not set 'num_nodes' to {nodes!r}: the processes of a trial run on one machine; use "
            "devices=n for n devices of it, and 'executor' (Dask's, MPI's, submitit's) for trials on several machines"
        )
    strategy = arguments.get("strategy", "auto")
    problem = _problem_of_name(strategy.lower()) if isinstance(strategy, str) else _problem_of(strategy)
    if problem is not None:
        given = strategy if isinstance(strategy, str) else type(strategy).__name__
        raise InvalidArgumentError(f"'strategy' in 'trainer' must not be {given!r}: it {problem}")
    if _may_be_distributed(arguments):
        plugins = arguments.get("plugins")
        environments = [getattr(strategy, "cluster_environment", None), *listed(plugins)]
        for environment in environments:
            if isinstance(environment, ClusterEnvironment):
                raise InvalidArgumentError(
                    f"'trainer' must not hold the cluster environment {type(environment).__name__} together with "
                    "several devices: the search starts the processes of a trial itself, on this machine; leave it out"
                )


def check_indices(arguments: Mapping[str, Any], workers: int) -> None:
    """Raise if `arguments` of the Trainer name devices by their indices, and several workers see some of them each.

    Raises:
        InvalidArgumentError: In this case.
    """
    devices = arguments.get("devices", 1)
    if workers > 1 and (isinstance(devices, (list, tuple)) or "," in str(devices)):
        raise InvalidArgumentError(
            f"'trainer' must not set 'devices' to {devices!r} together with workers = {workers}: the GPUs are divided "
            f"among the workers, each of which counts its own from 0; give devices={devices_per_trial(arguments)}, and "
            "choose the GPUs of the machine by CUDA_VISIBLE_DEVICES"
        )


def processes_per_trial(arguments: Mapping[str, Any]) -> int:
    """The processes that a trial is trained in on this machine, one per device; 0 for the calling process.

    Args:
        arguments: Of the Trainer, checked by `check_devices`. ``devices="auto"`` and ``-1`` are all there are.
    """
    strategy = arguments.get("strategy", "auto")
    number = len(getattr(strategy, "parallel_devices", None) or ()) or devices_per_trial(arguments)
    if number is None:
        number = _accelerator(arguments.get("accelerator", "auto")).auto_device_count()
    return max(1, number) if number > 1 or _is_parallel(strategy) else 0


def devices_per_trial(arguments: Mapping[str, Any]) -> int | None:
    """The number of devices that the Trainer's `arguments` ask for, 1 by default; None for all there are."""
    devices = arguments.get("devices", 1)
    if isinstance(devices, (list, tuple)):
        return len(devices)
    text = str(devices).strip().lower()
    if text in _ALL:
        return None
    if "," in text:  # indices
        return len([index for index in text.split(",") if index.strip()])
    return int(text) if text.isdigit() else 1  # what is none of these is the Trainer's to refuse


def on_one_device(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The Trainer's `arguments` for the calling process alone, if they ask for several."""
    if not _may_be_distributed(arguments):
        return dict(arguments)
    kept = {name: value for name, value in arguments.items() if name not in _ONE_DEVICE}
    devices = arguments.get("devices", 1)
    return {**kept, "devices": list(devices)[:1] if isinstance(devices, (list, tuple)) else 1}


def _may_be_distributed(arguments: Mapping[str, Any]) -> bool:
    return devices_per_trial(arguments) not in (0, 1) or _is_parallel(arguments.get("strategy", "auto"))


def _is_parallel(strategy: Any) -> bool:
    """Whether a strategy makes a process group, which must not be in the search's own process, even of one."""
    if isinstance(strategy, str):
        return strategy.lower().startswith(("ddp", "fsdp"))
    return isinstance(strategy, ParallelStrategy)


def _problem_of_name(strategy: str) -> str | None:
    if any(word in strategy for word in _STARTS_PROCESSES):
        return "starts the processes by itself; use 'ddp', the search starts them, in notebooks too"
    if strategy.startswith("deepspeed"):
        return _FOLDERS.format(instead="'fsdp' or 'ddp'")
    if strategy.startswith("xla"):
        return "starts the processes by itself; use devices=1"
    return None


def _problem_of(strategy: object) -> str | None:
    if not isinstance(strategy, Strategy):
        return "is no lightning.pytorch strategy; give a name such as 'ddp', or an instance"
    if getattr(strategy, "_start_method", "popen") != "popen":
        return "starts the processes by itself; use DDPStrategy() without 'start_method', the search starts them"
    if isinstance(strategy, DeepSpeedStrategy):
        return _problem_of_name("deepspeed")
    if isinstance(strategy, XLAStrategy):
        return _problem_of_name("xla")
    if isinstance(strategy, FSDPStrategy) and strategy._state_dict_type != "full":
        return _FOLDERS.format(instead="FSDPStrategy(state_dict_type='full')")
    if isinstance(strategy, ModelParallelStrategy) and strategy._save_distributed_checkpoint:
        return _FOLDERS.format(instead="ModelParallelStrategy(save_distributed_checkpoint=False)")
    return None


def _accelerator(given: Any) -> Any:
    """The accelerator that Lightning takes, which can say how many devices there are."""
    if isinstance(given, Accelerator):
        return given
    kinds: dict[str, tuple[type[Accelerator], ...]] = {
        "auto": (XLAAccelerator, MPSAccelerator, CUDAAccelerator, CPUAccelerator),
        "gpu": (MPSAccelerator, CUDAAccelerator),
    }
    if given in kinds:
        return next((kind for kind in kinds[given] if kind.is_available()), CPUAccelerator)
    return AcceleratorRegistry.get(given)
