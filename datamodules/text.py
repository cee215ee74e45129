"""Text in memory for language models: windows of tokens, drawn for training, side by side for validation.

The texts are those that come with Python, so nothing is downloaded: the topics of its help, in English, and the source
of its standard library.
"""

from __future__ import annotations

import sysconfig
from collections.abc import Callable
from functools import cache
from pathlib import Path

import lightning.pytorch as pl
import torch
from torch.utils.data import DataLoader, Dataset, Subset
from typing_extensions import override

Tokenizer = Callable[[str], list[int]]

VALIDATION_SHARE = 0.1


def utf8(text: str) -> list[int]:
    """The bytes of a text: tokens from 0 to 255 that need no vocabulary."""
    return list(text.encode())


@cache
def help_topics() -> str:
    """What Python's `help` says about the language: about 460,000 characters of English."""
    from pydoc_data.topics import topics

    return "\n\n".join(topics[name] for name in sorted(topics))


@cache
def standard_library(characters: int = 1_000_000) -> str:
    """The source of the standard library's modules, in the order of their names, up to a number of characters."""
    folder = Path(sysconfig.get_paths()["stdlib"])
    text = ""
    for file in sorted(folder.glob("*.py")):
        text += file.read_text(encoding="utf-8") + "\n\n"
        if len(text) >= characters:
            break
    return text[:characters]


class Windows(Dataset[torch.Tensor]):
    """Windows of a text, one after the other without overlap, what is left at the end left out.

    Args:
        tokens: `n` token numbers.
        length: Tokens per window; each window has one more, which the last one predicts.

    Raises:
        ValueError: If not even one window is there.
    """

    def __init__(self, tokens: torch.Tensor, length: int) -> None:
        self._n = (len(tokens) - 1) // length
        if self._n < 1:
            raise ValueError(f"a text of {len(tokens)} tokens has no window of {length}; take a longer text")
        self.tokens = tokens
        self.length = length

    def __len__(self) -> int:
        return self._n

    def __getitem__(self, index: int) -> torch.Tensor:
        start = index * self.length
        return self.tokens[start : start + self.length + 1]


class TextData(pl.LightningDataModule):
    """A text, its end for validation, the rest for training.

    Batches are token numbers, `batch_size x (length + 1)`.

    Args:
        text: The text, or a function that returns it.
        batch_size: Windows per batch of training.
        length: Tokens per window, without the one that is predicted last.
        tokenizer: From a text to token numbers.
        validation_windows: At most so many windows are validated on.
    """

    def __init__(
        self,
        text: str | Callable[[], str] = standard_library,
        *,
        batch_size: int = 32,
        length: int = 64,
        tokenizer: Tokenizer = utf8,
        validation_windows: int = 128,
    ) -> None:
        super().__init__()
        self.text = text
        self.batch_size = batch_size
        self.length = length
        self.tokenizer = tokenizer
        self.validation_windows = validation_windows

    @override
    def setup(self, stage: str) -> None:
        text = self.text() if callable(self.text) else self.text
        cut = int(len(text) * (1 - VALIDATION_SHARE))
        self.train, val = (
            Windows(torch.tensor(self.tokenizer(part)), self.length) for part in (text[:cut], text[cut:])
        )
        self.val = Subset(val, range(min(len(val), self.validation_windows)))

    @override
    def train_dataloader(self) -> DataLoader[torch.Tensor]:
        return DataLoader(self.train, self.batch_size, shuffle=True, drop_last=True)

    @override
    def val_dataloader(self) -> DataLoader[torch.Tensor]:
        return DataLoader(self.val, 64)
