"""Devices by name: which one is meant, and which hardware it is."""

from __future__ import annotations

import functools
import platform
from pathlib import Path

import torch

from lightning_primo.errors import InvalidArgumentError


def resolve_device(device: str | torch.device) -> torch.device:
    """The device that `device` names, with its index.

    Args:
        device: ``"cpu"``, ``"cuda"`` (the current one), ``"cuda:1"``, …; ``"auto"`` is the accelerator where there
            is one, else the CPU.

    Raises:
        InvalidArgumentError: If there is no such device on this machine.
    """
    if str(device) == "auto":
        accelerator = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
        device = accelerator or torch.device("cpu")
    try:
        resolved = torch.device(device)
        if resolved.type != "meta":
            return torch.empty(0, device=resolved).device
    except (RuntimeError, AssertionError, TypeError, NotImplementedError) as error:
        raise _unavailable(device) from error
    raise _unavailable(device)


def _unavailable(device: object) -> InvalidArgumentError:
    valid = ["'auto'", "'cpu'"]
    if torch.accelerator.is_available():
        kind = torch.accelerator.current_accelerator()
        valid += [f"'{kind}:{index}'" for index in range(torch.accelerator.device_count())]
    return InvalidArgumentError(
        f"'device' = {str(device)!r} cannot be used on this machine; valid choices: {', '.join(valid)}"
    )


def device_name(device: torch.device) -> str:
    """The hardware, for people: ``"NVIDIA H100 80GB HBM3"``, ``"AMD EPYC 7763 64-Core Processor"``."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    if device.type == "cpu":
        return _processor()
    return f"{platform.machine()} {device.type}"


@functools.cache
def _processor() -> str:
    """The CPU's model; `platform.processor` is empty on most Linux systems."""
    information = Path("/proc/cpuinfo")
    if information.exists():
        for line in information.read_text(errors="replace").splitlines():
            key, _, value = line.partition(":")
            if key.strip().lower() in ("model name", "hardware") and value.strip():
                return value.strip()
    return platform.processor() or platform.machine() or "CPU"


def measuring_place(kind: str, hardware: str, *, batch_size: int | None, threads: int) -> dict[str, str]:
    """Where and how a latency is measured, as text by name; latencies are comparable where these are equal.

    Args:
        kind: ``"cpu"``, ``"cuda"``, …; which of several equal devices it is does not matter.
        hardware: Model of the device.
        batch_size: Samples per call; None for inputs as they are.
        threads: CPU threads within an operator; left out for other devices, which one thread keeps busy.
    """
    place = {"hardware": hardware, "device": kind}
    if kind == "cpu":
        place["threads"] = str(threads)
    return {**place, "batch_size": batch_name(batch_size)}


def batch_name(batch_size: int | None) -> str:
    """The number of samples, or ``"as it is"`` where the inputs are not cut."""
    return "as it is" if batch_size is None else str(batch_size)


def synchronize(device: torch.device) -> None:
    """Wait until the work queued on `device` is done; nothing to do on the CPU."""
    if device.type not in ("cpu", "meta"):
        torch.accelerator.synchronize(device)


def available_devices() -> list[str]:
    """The kinds of device that a module can run on here: ``"cpu"``, and the accelerator where there is one."""
    accelerator = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    return ["cpu"] if accelerator is None else ["cpu", accelerator.type]
