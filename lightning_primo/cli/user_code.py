"""Exceptions of the project's own code, shown as the project's: its frames and its message, nothing of ours."""

from __future__ import annotations

import sysconfig
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lightning_primo.errors import PrimoError, ProjectError

_MOST_FRAMES = 6
_FOREIGN = tuple(
    {
        str(Path(__file__).parent.parent),
        *(sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")),
    }
)


@contextmanager
def user_code(doing: str) -> Iterator[None]:
    """Raise what the project's code raises inside as a ProjectError with a short traceback.

    Args:
        doing: What is being done, for the message: ``"building the model"``.

    Raises:
        ProjectError: In place of any exception but our own.
    """
    try:
        yield
    except PrimoError:
        raise
    except (Exception, SystemExit) as error:
        raise ProjectError(f"{doing} failed in the project's own code:\n{short_traceback(error)}") from error


def short_traceback(error: BaseException) -> str:
    """The last frames of the traceback of `error`, without those of libraries, and its message."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if not frame.filename.startswith(("<", *_FOREIGN))]
    lines = traceback.format_list(own[-_MOST_FRAMES:])
    return "".join([*lines, *traceback.format_exception_only(error)]).rstrip()
