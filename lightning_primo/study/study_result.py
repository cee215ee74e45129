"""What a study found: front, table and pictures, without torch."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from lightning_primo.results.illustrated import IllustratedFindings
from lightning_primo.results.stored_findings import StoredFindings
from lightning_primo.results.tables.table_files import write_table
from lightning_primo.results.tables.trials import make_table


class StudyResult(StoredFindings, IllustratedFindings):
    """A view of a study's log: what was found up to the moment when it was made.

    Args:
        problem: What is searched.
        events: What was asked and told, with the seconds by then, in order.
        directory: The study's.
    """

    def to_pandas(self) -> pd.DataFrame:
        """One row per trial, see `Result.to_pandas`."""
        return make_table(self.problem, self.trials, front=[trial.id for trial in self.front], tests={})

    def save_table(self, path: str | Path) -> Path:
        """Write `to_pandas` to a file, see `Result.save_table`."""
        return write_table(self.to_pandas(), path)

    def __repr__(self) -> str:
        return f"<StudyResult of {str(self.directory)!r}>\n{self.summary()}"
