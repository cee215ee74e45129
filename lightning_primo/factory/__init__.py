"""From a configuration to what is trained: a LightningModule and its data.

It stands alone, below all that trains, measures or reads what it builds: the objectives' oracle, the networks that
grow, jobs, results and the command line have their modules from the same `Factory`.
"""

from lightning_primo.factory.data_fraction import CutsItself
from lightning_primo.factory.factory import Factory
from lightning_primo.factory.folds import Folding
from lightning_primo.factory.k_fold_data import KFoldData
from lightning_primo.factory.keywords import Keywords
from lightning_primo.factory.loaders import LoadersDataModule
from lightning_primo.factory.watched_config import WatchedConfig

__all__ = ["CutsItself", "Factory", "Folding", "KFoldData", "Keywords", "LoadersDataModule", "WatchedConfig"]
