"""The table of trials as a file that other tools read."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable, Mapping
from pathlib import Path

import pandas as pd

from lightning_primo.disk import storage_explained
from lightning_primo.errors import InvalidArgumentError, PrimoError


def write_table(table: pd.DataFrame, path: str | Path) -> Path:
    """Write a table, as its suffix says: ``.csv``, ``.json`` (a list of objects) or ``.parquet``.

    In CSV what is unknown or inactive is empty, in the others null. Parquet has one type per column: where a
    hyperparameter's choices have several, such as 1 and ``"auto"``, its column holds them as JSON texts.

    Args:
        table: As from `Result.to_pandas`.
        path: The file; its folder is made.

    Returns:
        The file.

    Raises:
        InvalidArgumentError: For another suffix.
        PrimoError: If Parquet is asked for without pyarrow.
        StorageError: If the disk is full or cannot be written to.
    """
    target = Path(path)
    write = _WRITERS.get(target.suffix.lower())
    if write is None:
        raise InvalidArgumentError(f"'path' must end with one of {', '.join(_WRITERS)}, got {str(path)!r}")
    if write is _parquet and importlib.util.find_spec("pyarrow") is None:
        raise PrimoError("Parquet needs pyarrow: pip install 'lightning-primo[parquet]', or write .csv or .json")
    with storage_explained(f"'path' {str(path)!r} cannot be written"):
        target.parent.mkdir(parents=True, exist_ok=True)
        write(table, target)
    return target


def _csv(table: pd.DataFrame, path: Path) -> None:
    table.to_csv(path, index=False, lineterminator="\n")


def _json(table: pd.DataFrame, path: Path) -> None:
    path.write_text(table.to_json(orient="records", indent=2, double_precision=15) + "\n", encoding="utf-8")


def _parquet(table: pd.DataFrame, path: Path) -> None:
    mixed = [name for name in table.columns if table[name].map(type)[table[name].notna()].nunique() > 1]
    texts = {name: table[name].map(json.dumps, na_action="ignore").astype("string") for name in mixed}
    table.assign(**texts).to_parquet(path, engine="pyarrow", index=False)


_WRITERS: Mapping[str, Callable[[pd.DataFrame, Path], None]] = {".csv": _csv, ".json": _json, ".parquet": _parquet}
