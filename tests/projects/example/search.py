"""The search whose directory the pages of the documentation read."""

from ConfigSpace import ConfigurationSpace, Float, Integer
from project import Classifier, Points

from lightning_primo import MOASHA, Metric, ParameterCount, Search

space = ConfigurationSpace(seed=0)
space.add(Float("lr", (1e-3, 1e-1), log=True), Integer("width", (2, 64), log=True), Integer("depth", (1, 2)))
search = Search(
    space,
    module=Classifier,
    datamodule=Points,
    objectives=[Metric("val_error", mode="min"), ParameterCount()],
    algorithm=MOASHA(),
    epochs=(1, 3),
    directory="runs/example",
    trainer={"accelerator": "cpu", "logger": False},
)
search.run(trials=10, progress=False)
