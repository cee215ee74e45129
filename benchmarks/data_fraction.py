"""Searches by fractions of the data against such by epochs, at equal cost: MOASHA on the digits.

```sh
python -m benchmarks.data_fraction              # 2 seeds; some minutes on a core
python -m benchmarks.data_fraction --seeds 5 --full-trainings 24
```

Random configurations of a perceptron's depth, widths, dropout and learning rate: error against parameters. By epochs a
trial is continued from 2 to 6 to 18; by data each has 18 epochs, on a ninth, a third and all of the data, and begins
anew, so that a trial which comes to the top costs 13/9 of a full training. What both cost is counted in full trainings.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.perceptron import Perceptron, perceptron_space
from datamodules import Digits
from lightning_primo import MOASHA, Metric, ParameterCount, Result, Search

_EPOCHS = 18
_LENGTHS: dict[str, dict[str, Any]] = {
    "epochs": {"epochs": (_EPOCHS // 9, _EPOCHS)},
    "data": {"data": (1 / 9, 1)},
}


def searched(lengths: str, seed: int, *, full_trainings: float, directory: Path) -> Result:
    """The result of one search.

    Args:
        lengths: What trainings are counted in: ``"epochs"`` or ``"data"``.
        seed: Of the search.
        full_trainings: The budget.
        directory: For what is written.
    """
    trainer = {"accelerator": "cpu", "logger": False}
    search = Search(
        perceptron_space(),
        module=Perceptron,
        datamodule=Digits(batch_size=32),
        objectives=[Metric("val_error", reference=0.5), ParameterCount(reference=1e5)],
        algorithm=MOASHA(),
        directory=directory,
        trainer=trainer | ({"max_epochs": _EPOCHS} if lengths == "data" else {}),
        seed=seed,
        **_LENGTHS[lengths],
    )
    return search.run(full_trainings=full_trainings, progress=False, report=False)


def main() -> None:
    """Print a line per search."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--full-trainings", type=float, default=12.0)
    options = parser.parse_args()
    print("by      seed  trials  full  full trainings  hypervolume  least error  seconds")
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(options.seeds):
            for lengths in _LENGTHS:
                directory = Path(folder) / f"{lengths}-{seed}"
                began = time.process_time()
                found = searched(lengths, seed, full_trainings=options.full_trainings, directory=directory)
                fully = [trial for trial in found.trials if trial.trained_fully]
                errors = [trial.values["val_error"] for trial in fully]
                print(
                    f"{lengths:6}  {seed:4}  {len(found.trials):6}  {len(fully):4}  {found.full_trainings:14.2f}"
                    f"  {found.hypervolume():11.4f}  {min(errors):11.4f}  {time.process_time() - began:7.1f}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
