"""What a device is called, without torch."""

from __future__ import annotations

import functools
import os
import platform
import subprocess
from pathlib import Path

_DEVICE_TREE = Path("/proc/device-tree/model")
_TEGRA = Path("/etc/nv_tegra_release")  # of a Jetson, which has no nvidia-smi that tells
_PROCESSORS = Path("/proc/cpuinfo")


def devices() -> dict[str, str]:
    """The model of each kind of device: ``"Raspberry Pi 5 Model B Rev 1.0"``, ``"AMD EPYC 7763 64-Core Processor"``."""
    gpu = _gpu() or (_board() if _DEVICE_TREE.exists() and _TEGRA.exists() else "")
    return {"cpu": _board(), **({"cuda": gpu} if gpu else {})}


def usable_cores() -> int:
    """The cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@functools.cache
def _board() -> str:
    """A board's own name, where there is one, says more than that of its processor."""
    if _DEVICE_TREE.exists():
        name = _DEVICE_TREE.read_text(errors="replace").strip("\0 \n")
        if name:
            return name
    if _PROCESSORS.exists():
        for line in _PROCESSORS.read_text(errors="replace").splitlines():
            key, _, value = line.partition(":")
            if key.strip().lower() in ("model name", "hardware") and value.strip():
                return value.strip()
    return platform.processor() or platform.machine() or "CPU"


@functools.cache
def _gpu() -> str:
    command = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
    try:
        found = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    name = found.stdout.strip().split("\n")[0]
    return "" if name.startswith("[") else name  # [N/A]
