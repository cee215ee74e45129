"""Which device a server runs on, and what is installed there."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import Any

from lightning_primo import __version__
from lightning_primo.serving.hardware import hardware_name, usable_cores
from lightning_primo.serving.request import PROTOCOL

_PACKAGES = ("numpy", "onnxruntime", "onnxruntime-gpu", "openvino", "torch")


def identity() -> dict[str, Any]:
    """The device and its software, as JSON values."""
    kinds = ["cpu", *(["cuda"] if find_spec("torch") is not None or _installed("onnxruntime-gpu") else [])]
    return {
        "server": f"lightning_primo {__version__}",
        "protocol": PROTOCOL,
        "hardware": {kind: hardware_name(kind) for kind in kinds},
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
