"""``python -m lightning_primo.serving``."""

import sys

from lightning_primo.serving.command import main

sys.exit(main())
