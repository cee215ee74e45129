"""Why a search has ended: the line that its last run leaves in its directory."""

from __future__ import annotations

from pathlib import Path

from lightning_primo.layout import ended_file, write_atomically


def write_ended(directory: Path, reason: str) -> None:
    """Keep why the search of a directory has ended.

    Raises:
        StorageError: If the disk is full or cannot be written to.
    """
    write_atomically(ended_file(directory), f"{reason}\n")


def forget_ended(directory: Path) -> None:
    """The search of a directory goes on."""
    ended_file(directory).unlink(missing_ok=True)


def read_ended(directory: Path) -> str:
    """Why the search of a directory has ended; empty if it goes on, or was interrupted."""
    try:
        return ended_file(directory).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return ""
