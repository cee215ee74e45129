"""A search whose trials inherit: each child begins with what its parent ended with."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest
import torch

from lightning_primo.errors import CheckpointWarning
from lightning_primo.layout import trial_directory
from lightning_primo.training.checkpoint.record import read_weights
from tests.search.resume_script import Growing, make_growing_search

FIRST_LAYER = "blocks.0.0.weight"


class Remembering(Growing):
    """Saves the weights that it begins with."""

    def on_train_start(self) -> None:
        if not self.trainer.fast_dev_run:
            torch.save(self.state_dict()[FIRST_LAYER], Path(self.trainer.default_root_dir) / "first.pt")


def build(config: dict[str, Any]) -> Remembering:
    return Remembering(config)


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_children_begin_with_their_parents_weights(tmp_path: Path, workers: int) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", CheckpointWarning)
        search = make_growing_search(tmp_path, module=build, workers=workers)
        result = search.run(full_trainings=9, progress=False)
    children = [trial for trial in result.trials if trial.parent is not None]
    assert {trial.operation for trial in children} == {"deepen", "prune"}
    for child in children:
        assert child.parent is not None
        first = torch.load(trial_directory(tmp_path, child.id) / "first.pt", weights_only=True)
        parent = read_weights(trial_directory(tmp_path, child.parent))[FIRST_LAYER]
        # The first layer's units read the same inputs in both: each unit of the child is one of its parent's.
        assert (first[:, None] == parent[None]).all(dim=-1).any(dim=1).all(), child
        result.load(child)
    table = result.to_pandas().set_index("id")
    assert (table.loc[[child.id for child in children], "parent"] >= 0).all()


def test_a_smaller_budget_than_the_one_planned_with_is_pointed_out(tmp_path: Path, capsys: Any) -> None:
    make_growing_search(tmp_path).run(full_trainings=1, progress=False)
    assert "BulkAndCut plans with 27 epochs in all, and this run ends at 3" in capsys.readouterr().err
