"""``python -m lightning_primo`` is the command ``lightning-primo``."""

from __future__ import annotations

import sys

from lightning_primo.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
