"""The token that a server and those who may use it share, and where it is found.

It is given by argument, by the environment variable `VARIABLE`, or in a netrc file: ``machine pi login lightning-primo
password TOKEN``. It is written to no log, no config and no message.
"""

from __future__ import annotations

import hmac
import netrc
import os
import secrets
from pathlib import Path

from lightning_primo.errors import InvalidArgumentError

VARIABLE = "LIGHTNING_PRIMO_TOKEN"
"""The environment variable that holds the token, for the server and for searches."""

_SCHEME = "Bearer "
_LEAST, _MOST = 8, 512


def new_token() -> str:
    """One that nobody can guess."""
    return secrets.token_urlsafe(24)


def check_token(token: str) -> str:
    """`token`, if it can be one.

    Raises:
        InvalidArgumentError: If it is too short, too long or not printable ASCII without spaces; it is not shown.
    """
    if not isinstance(token, str) or not _LEAST <= len(token) <= _MOST or not all("!" <= sign <= "~" for sign in token):
        raise InvalidArgumentError(
            f"the token must be {_LEAST} to {_MOST} printable ASCII characters without spaces; python -c "
            "'import secrets; print(secrets.token_urlsafe(24))' makes one"
        )
    return token


def authorization(token: str) -> str:
    """The header by which a client shows that it has the token."""
    return f"{_SCHEME}{token}"


def same_token(header: str | None, token: str) -> bool:
    """Whether an ``Authorization`` header shows `token`; how long that takes says nothing about it."""
    return hmac.compare_digest((header or "").encode(errors="replace"), authorization(token).encode())


def find_token(host: str, port: int, given: str | None = None) -> str | None:
    """The token for a server: the one that is given, else of the environment, else of the netrc file; or None.

    Args:
        host: Of the server; its entry may be ``host:port`` or the host alone.
        port: Of the server.
        given: By the user.

    Raises:
        InvalidArgumentError: If the netrc file cannot be read, or the token cannot be one.
    """
    found = given or os.environ.get(VARIABLE) or _of_netrc(host, port)
    return None if found is None else check_token(found)


def _of_netrc(host: str, port: int) -> str | None:
    path = Path(os.environ.get("NETRC") or Path.home() / ".netrc")
    if not path.is_file():
        return None
    try:
        entries = netrc.netrc(str(path)).hosts
    except (netrc.NetrcParseError, OSError, UnicodeDecodeError) as error:
        line = getattr(error, "lineno", None)
        raise InvalidArgumentError(
            f"the token cannot be looked up in {str(path)!r}"
            + (f", line {line} of which cannot be read" if line else "")
        ) from None  # the original may show what the line holds
    entry = entries.get(f"{host}:{port}") or entries.get(host)
    return None if entry is None else entry[2]
