"""From configurations to networks: building a LightningModule and its data from a configuration."""

from lightning_primo.nas.factory import Factory, Keywords, LoadersDataModule

__all__ = ["Factory", "Keywords", "LoadersDataModule"]
