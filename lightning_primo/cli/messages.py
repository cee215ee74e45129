"""What jsonargparse says over many lines, in one."""

from __future__ import annotations

import re

_NOTHING = re.compile(r"Expected a <class 'NoneType'>\.?")
_CLASS = re.compile(r"<class '([^']+)'>")


def one_line(error: BaseException | str) -> str:
    """The message of a parser's error: the key, and of what was tried on its value the reasons that say something."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if "Errors:" in lines:
        start = lines.index("Errors:")
        given = [line for line in lines if line.startswith("Given value:")]
        reasons = [line.removeprefix("- ") for line in lines[start + 1 :] if not line.startswith(("Given", "Errors:"))]
        reasons = [line for line in reasons if not _NOTHING.fullmatch(line)]
        lines = [*lines[:1], "; ".join(dict.fromkeys(reasons)), *(f"({line[0].lower()}{line[1:]})" for line in given)]
    return _CLASS.sub(r"\1", " ".join(lines))
