"""What a person sees while a search runs."""

from lightning_primo.display.progress import PlainProgress, Progress, RichProgress, make_progress
from lightning_primo.display.snapshot import Snapshot

__all__ = ["PlainProgress", "Progress", "RichProgress", "Snapshot", "make_progress"]
