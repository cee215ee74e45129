"""A request's body on its way into files: bounded pieces, names of our own choosing, checked while it is written."""

from __future__ import annotations

import hashlib
from http import HTTPStatus
from pathlib import Path
from typing import BinaryIO

from lightning_primo.serving.refusal import RefusedError
from lightning_primo.serving.request import (
    LENGTH_BYTES,
    MOST_HEADER_BYTES,
    MalformedRequestError,
    MeasurementRequest,
)

HEADER, INPUTS, ARTEFACT = "request.json", "inputs.bin", "artefact"
"""What a measurement's folder holds: the request, the inputs' bytes, a folder with the artefact's files."""

_PIECE_BYTES = 65_536


def receive(source: BinaryIO, length: int, folder: Path) -> MeasurementRequest:
    """Read a request's body and write what is measured into a folder.

    Args:
        source: What is read from.
        length: Bytes that come, as the client has said.
        folder: New and empty.

    Raises:
        RefusedError: If it is malformed, cut short or damaged.
    """
    body = _Body(source, length)
    size = int.from_bytes(body.read(LENGTH_BYTES), "big")
    if not 2 <= size <= MOST_HEADER_BYTES:
        raise _malformed(f"the header must have 2 to {MOST_HEADER_BYTES} bytes, got {size}")
    header = body.read(size)
    try:
        request = MeasurementRequest.read(header)
    except MalformedRequestError as error:
        raise _malformed(str(error)) from None
    if request.size != body.left:
        raise _malformed(f"the header tells of {request.size} bytes that follow, but there are {body.left}")
    (folder / HEADER).write_bytes(header)
    body.copy(sum(array.size for array in request.inputs), folder / INPUTS)
    digest = hashlib.sha256()
    (folder / ARTEFACT).mkdir()
    for file in request.files:  # the digest is that of `runtimes.artefact.content_digest`
        digest.update(f"{file.name}\0{file.size}\0".encode())
        body.copy(file.size, folder / ARTEFACT / file.name, digest)
    if digest.hexdigest() != request.digest:
        raise RefusedError(HTTPStatus.BAD_REQUEST, "damaged", "the artefact was damaged on its way: its digest differs")
    return request


def _malformed(message: str) -> RefusedError:
    return RefusedError(HTTPStatus.BAD_REQUEST, "malformed", message)


class _Body:
    """What is still to be read of a body.

    Args:
        source: What is read from.
        length: Of the whole.
    """

    def __init__(self, source: BinaryIO, length: int) -> None:
        self._source = source
        self.left = length

    def read(self, size: int) -> bytes:
        """So many bytes, a few."""
        if size > self.left:
            raise _malformed("the body is too short")
        piece = self._source.read(size)
        if len(piece) != size:
            raise _malformed("the body was cut short")
        self.left -= size
        return piece

    def copy(self, size: int, path: Path, digest: hashlib._Hash | None = None) -> None:
        """Write the next `size` bytes to a file, which must not be there yet."""
        with path.open("xb") as file:
            while size:
                piece = self.read(min(size, _PIECE_BYTES))
                file.write(piece)
                if digest is not None:
                    digest.update(piece)
                size -= len(piece)
