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
        str(Path(__file__).parents[2]),
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


def origin_of(error: BaseException) -> BaseException:
    """The exception of the project's code that a library turned into `error`; `error` itself if there is none."""
    found: BaseException | None = error
    seen: set[int] = set()
    while found is not None and id(found) not in seen:
        if _own_frames(found):
            return found
        seen.add(id(found))
        found = found.__cause__ or found.__context__
    return error


def short_traceback(error: BaseException) -> str:
    """The last frames of the project's code in the traceback of `error`, and its message."""
    origin = origin_of(error)
    lines = traceback.format_list(_own_frames(origin)[-_MOST_FRAMES:])
    return "".join([*lines, *traceback.format_exception_only(origin)]).rstrip()


def _own_frames(error: BaseException) -> list[traceback.FrameSummary]:
    frames = traceback.extract_tb(error.__traceback__)
    return [frame for frame in frames if not frame.filename.startswith(("<", *_FOREIGN))]
