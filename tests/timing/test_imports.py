"""A device that has NumPy alone can time."""

from __future__ import annotations

import subprocess
import sys

SCRIPT = """
import sys
for name in ("torch", "lightning", "scipy", "pandas", "ConfigSpace", "botorch"):
    sys.modules[name] = None  # its import is an error
from lightning_primo.timing import Reference, time_calls
print(time_calls(lambda: None, precision=0.5, max_seconds=0.01, warmup=1e-4, reference=Reference()).runs > 0)
"""


def test_nothing_but_numpy_is_needed() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout == "True\n", done.stderr
