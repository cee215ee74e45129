"""The notebook of the documentation: as it is stored, and run anew."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).parent.parent / "docs/notebook.ipynb"


def outputs_of(notebook: Any) -> list[dict[str, Any]]:
    return [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]


def check(notebook: Any) -> None:
    outputs = outputs_of(notebook)
    assert {output["output_type"] for output in outputs} <= {"display_data", "execute_result", "stream"}
    data = [output["data"] for output in outputs if "data" in output]
    assert sum("image/png" in one for one in data) == 1
    (progress,) = (
        one["text/plain"] for one in data if "hypervolume" in one.get("text/plain", "") and "%" in one["text/plain"]
    )
    assert "100%" in progress
    assert ", 0 running" in progress  # its final state
    tables = [one["text/html"] for one in data if "<table" in one.get("text/html", "")]
    assert len(tables) == 4  # the search, the result, the chosen trial, the sorted front
    printed = "".join(output["text"] for output in outputs if output["output_type"] == "stream")
    assert "Traceback" not in printed
    assert "Warning" not in printed


def test_its_outputs_are_stored() -> None:
    check(nbformat.read(NOTEBOOK, as_version=4))
    assert NOTEBOOK.stat().st_size < 200_000


@pytest.mark.slow
def test_it_runs(tmp_path: Path) -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    assert "workers=2" in "".join(cell.source for cell in notebook.cells)
    NotebookClient(
        notebook, timeout=240, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    ).execute()
    check(notebook)
    assert (tmp_path / "runs/notebook/search.sqlite").exists()
