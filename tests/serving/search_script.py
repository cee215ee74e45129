"""A search on a served device: ``address directory trials seed``; some networks are more than the device takes."""

from __future__ import annotations

import sys
from typing import Any

import torch
from ConfigSpace import Categorical, ConfigurationSpace, Float
from torch import Tensor, nn

from lightning_primo import Latency, Metric, RandomSearch, Search, ServedDevice
from tests.tiny import Data, Net

SIDE = 4096


class Odd(Net):
    """A network that is as it should be, one with a large file, or one that is slow where it is deployed."""

    def __init__(self, lr: float, width: int, kind: str) -> None:
        super().__init__(lr, width)
        self.kind = kind
        self.example_input_array = torch.zeros(2, 2)
        if kind == "large":
            self.ballast = nn.Linear(2, 200_000)
        if kind == "slow":
            self.register_buffer("mark", torch.zeros(7))

    def forward(self, x: Tensor) -> Tensor:
        out = super().forward(x)
        if self.kind == "large":
            out = out + self.ballast(x).mean()
        if self.kind == "slow" and torch.compiler.is_exporting():
            square = torch.ones(SIDE, SIDE) * x.mean()
            out = out + (square @ square).mean() * 0.0
        return out


def main() -> None:
    """Search, and print how each trial ended."""
    address, directory, trials, seed = sys.argv[1:]
    space = ConfigurationSpace(seed=0)
    space.add(Float("lr", (1e-3, 1e-1), log=True))
    space.add(Categorical("width", [4, 8]))
    space.add(Categorical("kind", ["plain", "large", "slow"], weights=[0.98, 0.01, 0.01]))
    first: list[dict[str, Any]] = [{"lr": 1e-2, "width": 4, "kind": kind} for kind in ("plain", "large", "slow")]
    search = Search(
        space,
        module=Odd,
        datamodule=Data(),
        objectives=[Metric("val_loss"), Latency("cpu", on=ServedDevice(address, patience=120.0), threads=1)],
        algorithm=RandomSearch(),
        epochs=(1, 2),
        first=first,
        directory=directory,
        trainer={"accelerator": "cpu"},
        seed=int(seed),
    )
    result = search.run(trials=int(trials), progress=False)
    for trial in result.trials:
        print(
            trial.id, trial.config["kind"], trial.outcome, trial.values["latency_cpu"], trial.reason.partition("\n")[0]
        )


if __name__ == "__main__":
    main()
