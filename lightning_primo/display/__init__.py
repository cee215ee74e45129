"""What a person sees while a search runs."""

from lightning_primo.display.progress import NoProgress, PlainProgress, Progress, RichProgress, Snapshot, make_progress

__all__ = ["NoProgress", "PlainProgress", "Progress", "RichProgress", "Snapshot", "make_progress"]
