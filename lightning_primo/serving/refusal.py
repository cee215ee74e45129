"""Why a server does not do what it is asked: a status of HTTP, a kind for programs and a sentence for people."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any


class RefusedError(Exception):
    """What is answered in place of what was asked for.

    Args:
        status: Of HTTP.
        kind: For programs: ``"unauthorized"``, ``"malformed"``, ``"too_large"``, ``"unsupported"``, ``"damaged"``,
            ``"not_loadable"``, ``"hung"``, ``"died"``, ``"busy"``, ``"unknown"``, ``"cancelled"``, ``"internal"``.
        message: For people.
    """

    def __init__(self, status: HTTPStatus, kind: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.kind = kind
        self.message = message

    @property
    def body(self) -> dict[str, Any]:
        """As JSON values."""
        return {"error": {"kind": self.kind, "message": self.message}}
