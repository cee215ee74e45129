"""Which device a server runs on, and what is installed there."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from lightning_primo.serving.hardware import devices, usable_cores
from lightning_primo.serving.request import PROTOCOL

_PACKAGES = ("numpy", "onnxruntime", "onnxruntime-gpu", "openvino", "torch")


def identity() -> dict[str, Any]:
    """The device and its software, as JSON values."""
    return {
        "server": f"lightning_primo {_installed('lightning-primo') or 'from a checkout'}",
        "protocol": PROTOCOL,
        "hardware": devices(),
        "cores": usable_cores(),
        "system": f"{platform.system()} {platform.release()}, Python {platform.python_version()}",
        "versions": versions(),
    }


def versions() -> dict[str, str]:
    """The runtimes that are installed, by package."""
    found = {name: _installed(name) for name in _PACKAGES}
    return {name: number for name, number in found.items() if number is not None}


def _installed(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
