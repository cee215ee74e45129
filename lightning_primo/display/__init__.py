"""What a person sees while a search runs."""

from lightning_primo.display.progress import PlainProgress, Progress, RichProgress, Snapshot, make_progress

__all__ = ["PlainProgress", "Progress", "RichProgress", "Snapshot", "make_progress"]
