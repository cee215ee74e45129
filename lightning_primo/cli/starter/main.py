"""The project's command line: python main.py fit --config config.yaml."""

from __future__ import annotations

from lightning.pytorch.cli import LightningCLI


def main() -> None:
    """Train, validate or test what the config describes."""
    LightningCLI()


if __name__ == "__main__":
    main()
